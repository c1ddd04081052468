//! Messages in Redis, under `message:DIGEST`: one server, one server with replicas for reads, or a cluster.

mod connection;

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chassis::Failure;
use redis::{Cmd, ExistenceCheck, RedisError, SetOptions};

use super::{Answer, Store, StoreError};
use crate::{digest::Digest, settings::RedisSettings};
use connection::{Connection, Connector};

/// A replica that failed gets no reads for this time: each of them would wait for it until the timeout.
const COOL_OFF: Duration = Duration::from_secs(3);

/// See the [module](self).
#[derive(Debug)]
pub struct RedisStore {
    primary: Connection,
    replicas: Vec<Replica>,
    next: AtomicUsize,
    started: Instant,
}

#[derive(Debug)]
struct Replica {
    connection: Connection,
    /// When it may be tried again, in seconds since the store was opened; 0 while it answers.
    unreachable_until: AtomicU64,
}

impl Replica {
    fn new(connection: Connection) -> Self {
        Self { connection, unreachable_until: AtomicU64::new(0) }
    }

    /// Whether a read may go to it. After the pause, only the first read tries it, so that others need not wait.
    fn takes_reads(&self, now: u64) -> bool {
        let until = self.unreachable_until.load(Ordering::Relaxed);
        until == 0
            || (until <= now
                && self
                    .unreachable_until
                    .compare_exchange(until, after(now), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }
}

fn after(now: u64) -> u64 {
    now + COOL_OFF.as_secs()
}

impl RedisStore {
    /// A store over these servers. It connects when it is first used.
    pub fn new(settings: &RedisSettings) -> Result<Self, Failure> {
        let connector = Connector::new(settings)?;
        let (primary, replicas) = if settings.cluster {
            let replicas = settings.cluster_read_replicas.then(|| connector.cluster(true)).transpose()?;
            (connector.cluster(false)?, replicas.into_iter().collect())
        } else {
            // The settings are valid: only a cluster has several.
            let host = &settings.host.0[0];
            let replicas = settings.read_hosts.0.iter().map(|host| connector.server(host));
            (connector.server(host)?, replicas.collect::<Result<Vec<_>, _>>()?)
        };
        let replicas = replicas.into_iter().map(Replica::new).collect();
        Ok(Self { primary, replicas, next: AtomicUsize::new(0), started: Instant::now() })
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// The replicas in turn, without unreachable ones.
    fn replica(&self) -> Option<&Replica> {
        if self.replicas.is_empty() {
            return None;
        }
        let (next, now) = (self.next.fetch_add(1, Ordering::Relaxed), self.now());
        (0..self.replicas.len())
            .map(|step| &self.replicas[next.wrapping_add(step) % self.replicas.len()])
            .find(|replica| replica.takes_reads(now))
    }

    async fn read(&self, digest: Digest) -> Result<Option<Bytes>, RedisError> {
        let command = Cmd::get(key(digest));
        // A replica may be unreachable, or may not have heard of the message yet; the primary knows.
        if let Some(replica) = self.replica() {
            match replica.connection.send::<Option<Bytes>>(&command).await {
                Ok(found) => {
                    if replica.unreachable_until.load(Ordering::Relaxed) != 0 {
                        replica.unreachable_until.store(0, Ordering::Relaxed);
                    }
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Err(error) => {
                    // Logged once, not by each read that waited.
                    if replica.unreachable_until.swap(after(self.now()), Ordering::Relaxed) == 0 {
                        let seconds = COOL_OFF.as_secs();
                        tracing::warn!(error = %error, seconds, "a read replica failed and is left out for a while");
                    }
                }
            }
        }
        let first = self.primary.send(&command).await;
        // The first use of a lost connection fails, and the next one reconnects, so a read is tried twice.
        match first {
            Err(error) if error.is_connection_dropped() => self.primary.send(&command).await,
            first => first,
        }
    }
}

impl Store for RedisStore {
    fn put(&self, digest: Digest, message: Bytes) -> Answer<'_, bool> {
        Box::pin(async move {
            let new = SetOptions::default().conditional_set(ExistenceCheck::NX);
            let command = Cmd::set_options(key(digest), message.as_ref(), new);
            // OK, or nil where the key was there.
            let set: Option<()> = self.primary.send(&command).await.map_err(StoreError::new)?;
            Ok(set.is_some())
        })
    }

    fn get(&self, digest: Digest) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move { self.read(digest).await.map_err(StoreError::new) })
    }

    fn delete(&self, digest: Digest) -> Answer<'_, bool> {
        Box::pin(async move {
            let deleted: u64 = self.primary.send(&Cmd::del(key(digest))).await.map_err(StoreError::new)?;
            Ok(deleted > 0)
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        // Not PING, which a server that still loads its data answers as well.
        Box::pin(async move { self.read(Digest::of(b"")).await.map(|_| ()).map_err(StoreError::new) })
    }
}

fn key(digest: Digest) -> String {
    format!("message:{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replica_that_failed_is_tried_by_one_read_after_each_pause() {
        let settings = chassis::testing::settings::<crate::Messages>(&[]).service.redis;
        let replica = Replica::new(Connector::new(&settings).unwrap().server("127.0.0.1").unwrap());
        assert!(replica.takes_reads(7));
        replica.unreachable_until.store(after(7), Ordering::Relaxed);
        let tried = [9, 10, 10, 12, 13].map(|now| replica.takes_reads(now));
        assert_eq!(tried, [false, true, false, false, true]);
    }
}
