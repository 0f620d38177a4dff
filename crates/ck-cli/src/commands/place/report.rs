//! The plan for a person: what it costs, what every node gets, the first rows.

use std::io::{self, Write};

use ck_core::placement::Plan;
use ck_spec::Request;

use crate::output::{count, figure, state, table, write_table};

/// Rows shown; `--json` shows all.
const ROWS_SHOWN: usize = 64;

pub(super) fn write(out: &mut dyn Write, request: &Request, plan: &Plan) -> io::Result<()> {
    let spec = &request.spec;
    let stats = plan.table.stats(&request.topology, spec);
    writeln!(
        out,
        "{}, replication factor {}, spread {}, on {}",
        count(spec.partitions().into(), "partition", "partitions"),
        spec.replication_factor(),
        spec.spread(),
        count(request.topology.nodes().len() as u64, "node", "nodes"),
    )?;
    writeln!(out, "{}", cost(request, plan))?;
    writeln!(
        out,
        "balance: fullest node at {} of its share of copies, {} of primaries (1.000 is perfect)",
        stats.copies_balance, stats.primaries_balance
    )?;
    if plan.degraded {
        writeln!(
            out,
            "degraded: {} with fewer copies than asked for, {} in fewer domains; add nodes",
            stats.under_replicated, stats.spread_violations
        )?;
    }
    writeln!(out)?;
    let mut nodes = table([
        "node",
        "state",
        "weight",
        "domain",
        "copies",
        "share",
        "primaries",
        "share",
    ]);
    for node in &stats.nodes {
        nodes.add_row(vec![
            comfy_table::Cell::new(&node.id),
            state(node.state.map_or("gone", ck_core::NodeState::name)),
            figure(node.weight),
            comfy_table::Cell::new(node.domain.as_ref().map_or("-", |domain| domain.as_str())),
            figure(node.copies),
            figure(node.quota),
            figure(node.primaries),
            figure(node.primary_quota),
        ]);
    }
    write_table(out, &nodes)?;
    writeln!(out)?;
    let mut rows = table(["partition", "primary", "replicas"]);
    for row in plan.table.rows().take(ROWS_SHOWN) {
        let replicas: Vec<&str> = row.replicas().map(ck_core::NodeId::as_str).collect();
        rows.add_row([
            row.partition().to_string(),
            row.primary()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            replicas.join(", "),
        ]);
    }
    write_table(out, &rows)?;
    let left_out = plan.table.rows().len().saturating_sub(ROWS_SHOWN);
    if left_out > 0 {
        writeln!(out, "… and {left_out} more; --json prints all")?;
    }
    Ok(())
}

fn cost(request: &Request, plan: &Plan) -> String {
    let copies = count(plan.copies_moved, "copy", "copies");
    if request.previous.is_none() {
        return format!("plan: a first placement of {copies}");
    }
    let least = match (plan.optimal, plan.gap) {
        (true, _) => "proved to be the fewest".to_owned(),
        (false, gap) => format!("at most {gap} above the fewest"),
    };
    let primaries = count(
        plan.primaries_changed,
        "primary changes",
        "primaries change",
    );
    format!(
        "plan: {copies} to move ({least}; lower bound {}), {primaries}",
        plan.lower_bound
    )
}
