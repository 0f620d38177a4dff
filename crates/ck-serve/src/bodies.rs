//! Bodies of requests, all together within a bound.

use std::time::Duration;

use ck_http::{Bytes, Code, HeaderMap, Incoming, Problem, header, read_body};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes that memory is counted in.
const UNIT: usize = 64 << 10;

/// Time a body may take to arrive, and the time it may wait until there is room for it.
const WITHIN: Duration = Duration::from_secs(30);

/// When to try again where there is no room.
const AGAIN_MS: u64 = 200;

/// Memory that the bodies of a service's requests may take up at a time, all together: what is in flight
/// is bounded by it, and not by how many connections there are. Give requests of clients and those of
/// other nodes each one of their own, or neither gets on while they wait for one another.
///
/// ```
/// use ck_http::{HeaderMap, Incoming, Problem};
/// use ck_serve::Bodies;
/// /// At most 1 MiB each, and 64 MiB all together, made with `Bodies::new(64 << 20)`.
/// async fn take(all: &Bodies, headers: &HeaderMap, body: Incoming) -> Result<(), Box<Problem>> {
///     let body = all.read(headers, body, 1 << 20, 0).await?;
///     println!("{} bytes", body.bytes.len());
///     // There is room for the next ones once `body` is dropped.
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Bodies {
    free: Semaphore,
    within: Duration,
}

/// A body, with its share of the memory.
#[derive(Debug)]
pub struct Taken<'a> {
    /// All of it.
    pub bytes: Bytes,
    /// Given back when this is dropped: not before the request is answered.
    _share: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// Room for so many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self {
            free: Semaphore::const_new(bytes.div_ceil(UNIT)),
            within: WITHIN,
        }
    }

    /// Reads a body of at most `most` bytes. Takes as much room as its head says that it has, and not
    /// less than `least`: an answer may be larger than its question. One that does not say how long it is
    /// counts as the longest.
    ///
    /// # Errors
    /// As [`read_body`]; 503 `overloaded` where there is no room in time.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        most: usize,
        least: usize,
    ) -> Result<Taken<'_>, Box<Problem>> {
        let share = self.share(headers, most, least).await?;
        let bytes = read_body(body, most, self.within).await?;
        Ok(Taken {
            bytes,
            _share: share,
        })
    }

    async fn share(
        &self,
        headers: &HeaderMap,
        most: usize,
        least: usize,
    ) -> Result<Option<SemaphorePermit<'_>>, Box<Problem>> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
            .map_or(most, |length| length.min(most));
        let units = declared.max(least).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let busy = || {
            let detail = "as many bodies are being taken as fit into memory; try again in a moment";
            Box::new(Problem::new(Code::Overloaded, detail).with_retry_after_ms(AGAIN_MS))
        };
        if units == 0 {
            return Ok(None);
        }
        let share = tokio::time::timeout(self.within, self.free.acquire_many(units)).await;
        share.map_err(|_| busy())?.map(Some).map_err(|_| busy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(length: Option<&'static str>) -> HeaderMap {
        let length = length.map(header::HeaderValue::from_static);
        let length = length.map(|length| (header::CONTENT_LENGTH, length));
        length.into_iter().collect()
    }

    /// All bodies together, whoever sends them: one that does not say how long it is counts as the
    /// longest.
    #[tokio::test(start_paused = true)]
    async fn bodies_in_flight_are_bounded_in_common() {
        let all = &Bodies::new(20 * UNIT);
        let most = 8 * UNIT;
        let take = async |length, least| all.share(&declared(length), most, least).await;
        let none = take(Some("0"), 0).await.unwrap();
        assert!(none.is_none());
        let small = take(Some("1"), 0).await.unwrap();
        let unsaid = take(None, 0).await.unwrap();
        let liar = take(Some("99999999999"), 0).await.unwrap();
        assert_eq!(all.free.available_permits(), 20 - 1 - 8 - 8);
        let answer = take(Some("1"), 3 * UNIT).await.unwrap();
        assert_eq!(all.free.available_permits(), 0);
        let busy = take(Some("1"), 0).await.unwrap_err();
        assert_eq!(busy.known_code(), Some(Code::Overloaded));
        drop((small, unsaid, liar, answer));
        assert_eq!(all.free.available_permits(), 20);
    }
}
