//! What nodes ask one another.

use std::sync::Arc;

use ck_http::{
    Bytes, Code, Incoming, Method, Parts, Problem, Reply, ReplyBody, Response, StatusCode,
    calling_node, fence, header, json_reply,
};
use ck_node::{MemberNumber, PartitionId, TransferId};

use super::{Answered, PEER, invalid, missing, number_of, parse};
use crate::copying_in::{ANEW, LENGTH, PIECE_SUM, SNAPSHOT, SUM, UPTO, told};
use crate::copying_out::{Attached, Piece};
use crate::front::Work;
use crate::shipping::{MARK, PART_BYTES_MAX};
use crate::store::Store;

/// One transaction may be as long as this when another node sends it.
const RECORD_BYTES_MAX: usize = 72 << 20;

/// Answers a question of another node.
pub(super) async fn answer(store: &Arc<Store>, head: &Parts, body: Incoming) -> Answered {
    let (asked, headers) = (&head.method, &head.headers);
    let query = head.uri.query().unwrap_or_default();
    let rest = &head.uri.path()[PEER.len()..];
    let (number, what) = rest.split_once('/').unwrap_or((rest, ""));
    let partition = PartitionId(number.parse().map_err(|_| invalid("partition", number))?);
    let limit = match what {
        "apply" => RECORD_BYTES_MAX.max(PART_BYTES_MAX),
        _ => 2 * store.config.body_bytes_max,
    };
    let taken = store.peer_bodies.read(headers, body, limit, 1).await?;
    let body = taken.bytes.clone();
    match (what, asked) {
        ("run", &Method::POST) => {
            let work: Work = parse(&body)?;
            let answers = store.run_here(partition, fence(headers)?, work).await?;
            Ok(json_reply(StatusCode::OK, &answers))
        }
        ("apply", &Method::POST) => {
            let token = fence(headers)?.ok_or_else(|| missing("ck-fence"))?;
            let mark = store.apply(partition, token, body).await?;
            Ok(with(Bytes::new(), &[(MARK, mark.to_string())]))
        }
        ("snapshot", &Method::GET) => {
            let transfer = TransferId(number_of(query, "transfer")?);
            let offset = number_of(query, "offset")?;
            Ok(piece(store.piece(partition, transfer, offset).await?))
        }
        ("attach", &Method::POST) => {
            let transfer = TransferId(number_of(query, "transfer")?);
            let member = MemberNumber(number_of(query, "member")?);
            is_its_number(store, head, member)?;
            let mark = told(headers, MARK).and_then(|mark| mark.parse().ok());
            let mark = mark.ok_or_else(|| missing(MARK))?;
            attached(store, partition, transfer, member, mark).await
        }
        (what @ ("try-schema" | "apply-schema"), &Method::POST) => {
            let done = store.order(partition, what, &body).await?;
            Ok(with(done, &[]))
        }
        _ => {
            let detail = format!("there is no path {rest:?} for {asked} below /sql-peer/");
            Err(Box::new(Problem::new(Code::NotFound, detail)))
        }
    }
}

/// Refuses a node that writes another member's number than its own.
fn is_its_number(store: &Store, head: &Parts, member: MemberNumber) -> Result<(), Box<Problem>> {
    let Some(caller) = calling_node(&head.extensions) else {
        return Ok(());
    };
    let state = store.node()?.state();
    if state.member(member).is_some_and(|one| one.node == *caller) {
        return Ok(());
    }
    let detail = format!("{caller} asks as member {member}, whose number that is not");
    Err(Box::new(Problem::new(Code::Forbidden, detail)))
}

fn piece(piece: Piece) -> Reply {
    match piece {
        Piece::NotYet => {
            let mut reply = with(Bytes::new(), &[]);
            *reply.status_mut() = StatusCode::ACCEPTED;
            reply
        }
        Piece::Chunk {
            id,
            taken,
            bytes,
            sum,
        } => with(
            bytes,
            &[
                (SNAPSHOT, id),
                (MARK, taken.mark.to_string()),
                (LENGTH, taken.bytes.to_string()),
                (SUM, format!("{:016x}", taken.sum)),
                (PIECE_SUM, format!("{sum:016x}")),
            ],
        ),
    }
}

async fn attached(
    store: &Arc<Store>,
    partition: PartitionId,
    transfer: TransferId,
    member: MemberNumber,
    mark: crate::file::Mark,
) -> Answered {
    let token = store.acquire(partition)?.token();
    Ok(
        match store.attach(partition, transfer, member, mark).await? {
            Attached::Anew => with(Bytes::new(), &[(ANEW, "1".to_owned())]),
            Attached::Next { records, upto } => {
                let mut headers = vec![("ck-fence", token.to_string())];
                headers.extend(upto.map(|upto| (UPTO, upto.to_string())));
                with(records, &headers)
            }
        },
    )
}

/// An answer of bytes with headers of ours.
fn with(body: Bytes, headers: &[(&'static str, String)]) -> Reply {
    let mut reply = Response::new(ReplyBody::from(body));
    for (name, value) in headers {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            reply.headers_mut().insert(*name, value);
        }
    }
    reply
}
