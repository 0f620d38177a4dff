//! Visits: `visit SEEDS NAME…`.
use std::error::Error;
use std::io::Write;

use ck_client::http::{Bytes, Request};
use ck_client::{Router, RouterConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().ok_or("visit SEEDS NAME…")?;
    let router = Router::connect(RouterConfig::new(seeds.split(','))).await?;
    for name in arguments {
        let request = Request::post(format!("/visits/{name}")).body(Bytes::new())?;
        let answer = router.send(name.as_bytes(), request).await?;
        let count = String::from_utf8_lossy(answer.body());
        write!(std::io::stdout(), "{name}: {count}")?;
    }
    Ok(())
}
