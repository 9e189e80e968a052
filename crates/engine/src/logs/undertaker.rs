//! Frees deleted backups away from the pump: giving back the pages of 50 MB takes milliseconds.

use std::fs::File;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Files waiting to be freed; when it is full the pump does it itself (policy: in line).
const QUEUE: usize = 16;

/// The thread's end of the queue. The helper is started by the first rotation that needs it and ends
/// with this value.
#[derive(Default)]
pub(super) struct Undertaker(Option<SyncSender<File>>);

impl Undertaker {
    /// Closes the last descriptor of an unlinked file.
    pub(super) fn bury(&mut self, file: File) {
        let sender = match &self.0 {
            Some(sender) => sender,
            None => match start() {
                Some(sender) => self.0.insert(sender),
                None => return drop(file),
            },
        };
        // A full queue, or a helper that is gone, gives the file back and it is dropped here.
        drop(sender.try_send(file));
    }
}

fn start() -> Option<SyncSender<File>> {
    let (sender, receiver) = sync_channel::<File>(QUEUE);
    std::thread::Builder::new()
        .name("logs-free".into())
        .stack_size(64 << 10)
        .spawn(move || receiver.into_iter().for_each(drop))
        .ok()
        .map(|_| sender)
}
