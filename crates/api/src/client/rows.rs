//! The results of an order, over as many daemons as it takes.

use super::failed;
use super::way::{Asked, Miss, Tries, Way};
use crate::problem::Detail;
use crate::wire::{Line, json};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::BTreeSet;
use supers_core::control::{Answer, Order, Refusal, Row, Rows, Verb};

/// A row is far smaller; whatever exceeds this is no daemon of ours.
const MAX_LINE: usize = 4 << 20;

pub(super) struct RemoteRows {
    way: Way,
    what: What,
    /// `None` after a cut.
    body: Option<Incoming>,
    buffer: Vec<u8>,
    /// Units that have their row.
    seen: BTreeSet<String>,
    /// It is not the first daemon that answers.
    again: bool,
    tries: Tries,
}

/// What was asked for.
pub(super) enum What {
    /// An order that may be given twice.
    Again(Order),
    /// Something that may not, for these names.
    Once(Vec<String>),
}

impl What {
    /// To start what runs, or to stop what is down, changes nothing.
    pub(super) fn of(order: Order) -> What {
        match order.verb {
            Verb::Start | Verb::Stop => What::Again(order),
            Verb::Restart | Verb::Reload | Verb::Signal(_) => What::Once(order.names),
        }
    }
}

impl RemoteRows {
    /// `first` is the answer, or why there is none.
    pub(super) async fn new(
        way: Way,
        what: What,
        first: Result<Incoming, Miss>,
    ) -> Result<RemoteRows, Refusal> {
        let mut rows = RemoteRows {
            way,
            what,
            body: None,
            buffer: Vec::new(),
            seen: BTreeSet::new(),
            again: false,
            tries: Tries::new(),
        };
        match first {
            Ok(body) => rows.body = Some(body),
            Err(Miss::Refused(refusal)) => return Err(refusal),
            Err(miss @ Miss::Unreached(_)) if matches!(rows.what, What::Once(_)) => return Err(miss.into()),
            Err(Miss::Unreached(_) | Miss::Cut(_)) => drop(rows.ask_again().await?),
        }
        Ok(rows)
    }

    async fn next_row(&mut self) -> Result<Option<Row>, Refusal> {
        loop {
            let Some(body) = &mut self.body else {
                if self.ask_again().await? {
                    continue;
                }
                return Ok(None);
            };
            match read_row(body, &mut self.buffer).await {
                Ok(None) => return Ok(None),
                Ok(Some(row)) => {
                    let new = self.seen.insert(row.name.clone());
                    // A pattern stands for those as well that had their row before the cut.
                    if new || !self.again {
                        self.tries = Tries::new();
                        return Ok(Some(row));
                    }
                }
                Err(Miss::Refused(refusal)) => return Err(refusal),
                Err(Miss::Unreached(_) | Miss::Cut(_)) => self.body = None,
            }
        }
    }

    /// Gives the order to the next daemon for those that have no row yet; false when there are none.
    async fn ask_again(&mut self) -> Result<bool, Refusal> {
        self.buffer.clear();
        self.again = true;
        let order = match &self.what {
            What::Again(order) => {
                let open = |name: &&String| !self.seen.contains(*name);
                Order { names: order.names.iter().filter(open).cloned().collect(), ..order.clone() }
            }
            What::Once(names) if names.iter().all(|n| self.seen.contains(n)) => return Ok(false),
            What::Once(names) => return Err(unknown_end(names, &self.seen)),
        };
        if order.names.is_empty() {
            return Ok(false);
        }
        let asked = Asked::post("/api/v1/orders", json(&order));
        while self.tries.next().await {
            match self.way.ask(None, &asked).await {
                Ok((_, response)) => {
                    self.body = Some(response.into_body());
                    return Ok(true);
                }
                Err(Miss::Refused(refusal)) => return Err(refusal),
                Err(Miss::Unreached(_) | Miss::Cut(_)) => {}
            }
        }
        Err(unknown_end(&order.names, &self.seen))
    }
}

/// Nobody can tell what became of it but the status.
fn unknown_end(names: &[String], seen: &BTreeSet<String>) -> Refusal {
    let open: Vec<&str> = names.iter().filter(|n| !seen.contains(*n)).map(String::as_str).collect();
    failed(format!(
        "superd was replaced while it worked on this; `supers status {}` shows what became of it",
        open.join(" ")
    ))
}

async fn read_row(body: &mut Incoming, buffer: &mut Vec<u8>) -> Result<Option<Row>, Miss> {
    loop {
        if let Some(at) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=at).collect();
            return match serde_json::from_slice(&line) {
                Ok(Line::Row(row)) => Ok(Some(row)),
                Ok(Line::Problem { error }) if error.kind == "replaced" => Err(Miss::Cut(error.text)),
                Ok(Line::Problem { error }) => Err(Miss::Refused(Detail::into(error))),
                Err(e) => Err(Miss::Refused(failed(format!("superd's answer cannot be read: {e}")))),
            };
        }
        if buffer.len() > MAX_LINE {
            return Err(Miss::Refused(failed("superd's answer has a line that does not end".into())));
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Err(e)) => return Err(Miss::cut(e)),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    buffer.extend_from_slice(data);
                }
            }
        }
    }
}

impl Rows for RemoteRows {
    fn next(&mut self) -> Answer<'_, Option<Row>> {
        Box::pin(self.next_row())
    }
}
