//! One try: a POST over a connection of its own.

use super::errand::{Answer, Errand, read_away};
use super::message::Delivery;
use super::messenger;
use hyper::StatusCode;
use tokio::time::{Instant, timeout_at};

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 2xx.
    Accepted,
    /// It may be taken later: nobody listens, no answer in time, a failure of the server.
    Later(String),
    /// It is not taken as it is: a redirect, or an error that the server says is ours.
    Refused(String),
}

/// Sends a message and reads the answer, within its time.
pub(super) async fn post(delivery: &Delivery) -> Outcome {
    let errand = Errand::of(delivery);
    if !delivery.url.tls {
        return plain(&errand).await;
    }
    // Each time: it may be installed, or replaced, while superd runs.
    match messenger::find() {
        Some(program) => judged(messenger::send(&program, &errand).await),
        None => Outcome::Later(messenger::MISSING.into()),
    }
}

async fn plain(errand: &Errand) -> Outcome {
    let limit = Instant::now() + errand.timeout;
    let exchange = async { errand.post(errand.connect().await?).await };
    match timeout_at(limit, exchange).await {
        Ok(Ok(response)) => {
            let outcome = judge(response.status());
            // Whatever happens now, the answer is known.
            let _ = timeout_at(limit, read_away(response.into_body())).await;
            outcome
        }
        Ok(Err(why)) => Outcome::Later(why),
        Err(_) => Outcome::Later(errand.too_late()),
    }
}

/// What no server said is no refusal: certificates are renewed, machines come back.
pub(super) fn judged(answer: Answer) -> Outcome {
    match answer {
        Answer::Status(number) => match StatusCode::from_u16(number) {
            Ok(status) => judge(status),
            Err(_) => Outcome::Later(format!("the answer was {number}")),
        },
        Answer::Failed(why) => Outcome::Later(why),
    }
}

fn judge(status: StatusCode) -> Outcome {
    let said = format!("the answer was {status}");
    match status {
        _ if status.is_success() => Outcome::Accepted,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Later(said)
        }
        _ if status.is_redirection() => Outcome::Refused(said + ", and redirects are not followed"),
        _ if status.is_client_error() => Outcome::Refused(said),
        _ => Outcome::Later(said),
    }
}
