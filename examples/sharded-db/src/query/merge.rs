//! Rows of several partitions made one answer.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ck_http::{Code, Problem};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// How a column of several rows becomes one value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fold {
    /// The sum; of nulls alone, null.
    Sum(String),
    /// The sum of counts.
    Count(String),
    /// The least, nulls aside.
    Min(String),
    /// The greatest, nulls aside.
    Max(String),
}

impl Fold {
    fn column(&self) -> &str {
        match self {
            Self::Sum(column) | Self::Count(column) | Self::Min(column) | Self::Max(column) => {
                column
            }
        }
    }

    fn fold(&self, into: Json, value: Json) -> Result<Json, Box<Problem>> {
        match self {
            Self::Sum(column) | Self::Count(column) => add(column, into, value),
            Self::Min(_) => Ok(pick(into, value, Ordering::Less)),
            Self::Max(_) => Ok(pick(into, value, Ordering::Greater)),
        }
    }
}

/// About how long a value is as text.
pub(crate) fn about_bytes(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + 3,
        Json::Object(fields) => fields.values().map(about_bytes).sum::<usize>() + 14,
        _ => 8,
    }
}

/// Makes one row of all that agree in the columns that are not merged.
pub(crate) fn fold(
    columns: &[String],
    rows: Vec<Vec<Json>>,
    folds: &[Fold],
) -> Result<Vec<Vec<Json>>, Box<Problem>> {
    if folds.is_empty() {
        return Ok(rows);
    }
    let mut how = vec![None; columns.len()];
    for one in folds {
        how[place(columns, one.column(), "merge")?] = Some(one);
    }
    // In the order in which the groups were met first.
    let mut groups: Vec<Vec<Json>> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let kept = row.iter().zip(&how).filter(|(_, how)| how.is_none());
        let key: Vec<&Json> = kept.map(|(value, _)| value).collect();
        let key = json!(key).to_string();
        let Some(at) = known.get(&key).copied() else {
            known.insert(key, groups.len());
            groups.push(row);
            continue;
        };
        for ((into, value), how) in groups[at].iter_mut().zip(row).zip(&how) {
            if let Some(how) = how {
                *into = how.fold(into.take(), value)?;
            }
        }
    }
    Ok(groups)
}

fn add(column: &str, a: Json, b: Json) -> Result<Json, Box<Problem>> {
    let refused = |why: String| {
        let problem = Problem::new(Code::InvalidBody, format!("merge of {column:?}: {why}"));
        Box::new(problem.with_field("merge"))
    };
    match (a.as_i64(), b.as_i64()) {
        _ if a.is_null() => Ok(b),
        _ if b.is_null() => Ok(a),
        (Some(a), Some(b)) => {
            let sum = a.checked_add(b);
            let sum = sum.ok_or_else(|| refused(format!("{a} + {b} is no 64-bit integer")));
            sum.map(|sum| json!(sum))
        }
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => Ok(json!(a + b)),
            _ => Err(refused(format!("{a} and {b} cannot be added"))),
        },
    }
}

fn pick(a: Json, b: Json, wanted: Ordering) -> Json {
    let better = a.is_null() || (!b.is_null() && compare(&b, &a) == wanted);
    if better { b } else { a }
}

/// A column to sort by, and whether downwards.
pub(crate) type By = (String, bool);

/// Reads `order_by`.
pub(crate) fn order(list: &[String]) -> Result<Vec<By>, Box<Problem>> {
    let read = list.iter().map(|text| {
        let (column, way) = text.trim().rsplit_once(' ').unwrap_or((text.trim(), "asc"));
        match way.to_ascii_lowercase().as_str() {
            "asc" => Ok((column.trim().to_owned(), false)),
            "desc" => Ok((column.trim().to_owned(), true)),
            _ => {
                let detail =
                    format!("{text:?} is not understood; write a column, then asc or desc");
                let problem = Problem::new(Code::InvalidBody, detail).with_field("order_by");
                Err(Box::new(problem))
            }
        }
    });
    read.collect()
}

/// Sorts rows as SQLite would; equal ones stay in order of partition.
pub(crate) fn sort(
    columns: &[String],
    mut rows: Vec<Vec<Json>>,
    order: &[By],
) -> Result<Vec<Vec<Json>>, Box<Problem>> {
    let by = order.iter().map(|(column, down)| {
        let at = place(columns, column, "order_by")?;
        Ok((at, *down))
    });
    let by = by.collect::<Result<Vec<_>, Box<Problem>>>()?;
    rows.sort_by(|a, b| {
        let one = |(at, down): &(usize, bool)| {
            let order = compare(&a[*at], &b[*at]);
            if *down { order.reverse() } else { order }
        };
        by.iter()
            .map(one)
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    Ok(rows)
}

/// SQLite's order: null, numbers, text by bytes, blobs.
fn compare(a: &Json, b: &Json) -> Ordering {
    let class = |value: &Json| match value {
        Json::Null => 0,
        Json::Number(_) => 1,
        Json::Object(fields) if fields.contains_key("real") => 1,
        Json::String(_) => 2,
        _ => 3,
    };
    class(a).cmp(&class(b)).then_with(|| match (a, b) {
        (Json::String(a), Json::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        _ => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => match (real(a), real(b)) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => blob(a).cmp(&blob(b)),
            },
        },
    })
}

fn real(value: &Json) -> Option<f64> {
    let infinite = || value.get("real")?.as_str()?.parse().ok();
    value.as_f64().or_else(infinite)
}

fn blob(value: &Json) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = value.get("base64")?.as_str()?;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn place(columns: &[String], name: &str, field: &str) -> Result<usize, Box<Problem>> {
    columns.iter().position(|one| one == name).ok_or_else(|| {
        let detail = format!("there is no column {name:?} in the answer; it has {columns:?}");
        Box::new(Problem::new(Code::InvalidBody, detail).with_field(field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn merged_columns_become_one_and_the_others_group() {
        let names = columns(&["kind", "n", "total", "first", "last"]);
        let rows = vec![
            vec![json!("a"), json!(2), json!(0.5), json!("m"), json!(null)],
            vec![json!("b"), json!(1), json!(null), json!("z"), json!(9)],
            vec![json!("a"), json!(3), json!(1), json!("c"), json!(7)],
        ];
        let folds: Vec<Fold> = serde_json::from_value(
            json!([{"count": "n"}, {"sum": "total"}, {"min": "first"}, {"max": "last"}]),
        )
        .unwrap();
        let folded = fold(&names, rows.clone(), &folds).unwrap();
        assert_eq!(
            json!(folded),
            json!([["a", 5, 1.5, "c", 7], ["b", 1, null, "z", 9]])
        );
        assert_eq!(fold(&names, rows.clone(), &[]).unwrap(), rows);
        let absent = fold(&names, rows.clone(), &[Fold::Sum("x".to_owned())]).unwrap_err();
        assert!(absent.detail.contains("\"x\""));
        let text = fold(
            &names,
            rows,
            &[Fold::Sum("kind".to_owned()), Fold::Max("n".to_owned())],
        );
        assert_eq!(text.unwrap().len(), 3, "nothing agrees");
        let large = vec![vec![json!(i64::MAX)], vec![json!(1)]];
        let large = fold(&columns(&["n"]), large, &[Fold::Sum("n".to_owned())]).unwrap_err();
        assert!(large.detail.contains("64-bit"));
    }

    #[test]
    fn rows_are_sorted_as_sqlite_sorts() {
        let names = columns(&["v", "w"]);
        let value = [
            json!({"base64": "AA=="}),
            json!("b"),
            json!("B"),
            json!(2),
            json!(1.5),
            json!({"real": "-inf"}),
            json!(null),
        ];
        let rows: Vec<_> = value
            .iter()
            .map(|one| vec![one.clone(), json!(0)])
            .collect();
        let order = order(&["w".to_owned(), "v desc".to_owned()]).unwrap();
        let sorted = sort(&names, rows.into_iter().rev().collect(), &order).unwrap();
        let sorted: Vec<_> = sorted.into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(sorted, value);
        assert!(super::order(&["v sideways".to_owned()]).is_err());
        assert!(sort(&names, Vec::new(), &[("x".to_owned(), false)]).is_err());
    }
}
