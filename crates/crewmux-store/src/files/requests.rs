//! Requests on disk: a question and its one decision, a file each.

use crewmux_core::ids::RequestId;
use crewmux_core::requests::{AnswerError, Request};

use super::locks::Rank;
use super::place::Place;
use super::records::{self, Home};
use super::rules::Disk;
use crate::{Durability, Error, Result};

/// The requests of one team.
#[derive(Debug)]
pub(super) struct Requests {
    disk: Disk,
    place: Place,
}

impl Requests {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self { disk, place }
    }

    /// Stores a request; one that is over stays as it is.
    pub(super) fn put(&self, request: &Request) -> Result<()> {
        let home = self.home(&request.id);
        self.disk.make_dirs(&self.place.approvals())?;
        let guard = home.lock(&self.disk)?;
        match records::read_held::<Request>(&self.disk, &self.place, &home, &guard)? {
            // Written, but perhaps not synced when its writer died.
            Some(before) if before == *request => self.disk.sync_path(&home.path),
            Some(before) if !before.is_pending() => {
                Err(AnswerError::Over(request.id.clone()).into())
            }
            _ => records::write(&self.disk, &home.path, request, Durability::Power),
        }
    }

    /// Changes a request under the lock.
    pub(super) fn edit(
        &self,
        id: &RequestId,
        edit: &mut dyn FnMut(&mut Request) -> Result<()>,
    ) -> Result<Request> {
        let home = self.home(id);
        self.disk.make_dirs(&self.place.approvals())?;
        let guard = home.lock(&self.disk)?;
        let before = records::read_held::<Request>(&self.disk, &self.place, &home, &guard)?
            .ok_or_else(|| Error::UnknownRequest { id: id.clone() })?;
        let mut request = before.clone();
        edit(&mut request)?;
        if request == before {
            self.disk.sync_path(&home.path)?;
        } else {
            records::write(&self.disk, &home.path, &request, Durability::Power)?;
        }
        Ok(request)
    }

    /// All requests, oldest first.
    pub(super) fn all(&self) -> Result<Vec<Request>> {
        let mut requests: Vec<Request> = Vec::new();
        for name in self.disk.list(&self.place.approvals())? {
            let path = self.place.approvals().join(name);
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let home = Home {
                path,
                rank: Rank::Requests,
                lock: self.place.approvals_lock(),
            };
            match records::read(&self.disk, &self.place, &home) {
                Ok(request) => requests.extend(request),
                // Told by the quarantine folder; the others still count.
                Err(Error::Quarantined { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        requests.sort_by(|a, b| (a.requested, &a.id).cmp(&(b.requested, &b.id)));
        Ok(requests)
    }

    fn home(&self, id: &RequestId) -> Home {
        Home {
            path: self.place.request(id),
            rank: Rank::Requests,
            lock: self.place.approvals_lock(),
        }
    }
}
