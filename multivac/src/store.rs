//! Where data is stored: in PostgreSQL or in a file.

use std::sync::Arc;

use chassis::{
    Problem,
    embedded::{EmbeddedFile, FileError},
    jobs::{Answer, Handler, Job},
    postgres::Pool,
};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

/// Keeps data under the id of its job. What a call reports is durable.
pub trait Store: Send + Sync {
    /// Stores the payloads of all these jobs, or none. What was stored or deleted before stays as it is, so that a job
    /// can be repeated.
    fn put<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()>;

    /// The data of this job, if it is stored.
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>>;

    /// The data that was stored first.
    fn oldest(&self) -> Answer<'_, Option<String>>;

    /// Deletes the data of this job, also if it is not stored yet.
    fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;

    /// Deletes the data that was stored first; false if there is none. Concurrent calls delete different data.
    fn delete_oldest(&self) -> Answer<'_, bool>;
}

/// What workers do: store the data of jobs.
pub struct Storing(pub Arc<dyn Store>);

impl Handler for Storing {
    fn handle<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        self.0.put(jobs)
    }
}

/// The table `multivac.data` (see `migrations/`). A row that was deleted stays for a week without its document, so that
/// a job that is repeated does not bring it back.
#[derive(Debug)]
pub struct PostgresStore(pub Pool);

impl Store for PostgresStore {
    fn put<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        Box::pin(async move {
            let (ids, payloads): (Vec<_>, Vec<_>) =
                jobs.iter().map(|job| (job.id.as_str(), job.payload.as_str())).unzip();
            let insert = "insert into multivac.data (job, document)
                          select job, jsonb_build_object('data', payload)
                          from unnest($1::text[], $2::text[]) as jobs (job, payload)
                          on conflict (job) do nothing";
            sqlx::query(insert).bind(ids).bind(payloads).execute(&self.0).await?;
            Ok(())
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        let select = "select document ->> 'data' from multivac.data where document is not null and job = $1";
        Box::pin(async move {
            let read = || sqlx::query_scalar(select).bind(id).fetch_optional(&self.0);
            Ok(self.0.retry(read).await?)
        })
    }

    fn oldest(&self) -> Answer<'_, Option<String>> {
        let select = "select document ->> 'data' from multivac.data where document is not null
                      order by position limit 1";
        Box::pin(async move {
            let read = || sqlx::query_scalar(select).fetch_optional(&self.0);
            Ok(self.0.retry(read).await?)
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let delete = "insert into multivac.data (job, deleted_at) values ($1, now())
                      on conflict (job) do update set document = null, deleted_at = now()";
        Box::pin(async move {
            sqlx::query(delete).bind(id).execute(&self.0).await?;
            Ok(())
        })
    }

    fn delete_oldest(&self) -> Answer<'_, bool> {
        let delete = "with old as (delete from multivac.data where deleted_at < now() - interval '7 days')
                      update multivac.data set document = null, deleted_at = now()
                      where position = (
                          select position from multivac.data where document is not null
                          order by position limit 1 for update skip locked
                      )";
        Box::pin(async move { Ok(sqlx::query(delete).execute(&self.0).await?.rows_affected() > 0) })
    }
}

const DATA: TableDefinition<u64, &str> = TableDefinition::new("data");
/// Jobs whose data was deleted: the newest [`MOST_DELETED`], so that a job that is repeated does not bring it back.
const DELETED: TableDefinition<u64, ()> = TableDefinition::new("deleted");
const MOST_DELETED: u64 = 10_000;

/// Tables of the file that also has the queue, by the numbers of its jobs.
#[derive(Debug)]
pub struct FileStore(EmbeddedFile);

impl FileStore {
    /// The store in this file.
    pub fn new(file: EmbeddedFile) -> Result<Self, FileError> {
        file.make_table(DATA)?;
        Ok(Self(file))
    }
}

impl Store for FileStore {
    fn put<'a>(&'a self, jobs: &'a [Job]) -> Answer<'a, ()> {
        let rows: Vec<_> =
            jobs.iter().filter_map(|job| Some((number(&job.id)?, job.payload.clone()))).collect();
        let bytes = rows.iter().map(|(_, payload)| payload.len()).sum();
        Box::pin(async move {
            let put = self.0.write(bytes, move |transaction| {
                let (mut data, deleted) = (transaction.open_table(DATA)?, transaction.open_table(DELETED)?);
                for (id, payload) in rows {
                    if deleted.get(id)?.is_none() && data.get(id)?.is_none() {
                        data.insert(id, payload.as_str())?;
                    }
                }
                Ok(())
            });
            put.await.map_err(unusable)
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        let found = self.0.read(|transaction| {
            let data = transaction.open_table(DATA)?;
            let found = number(id).map(|id| data.get(id)).transpose()?.flatten();
            Ok(found.map(|payload| payload.value().to_owned()))
        });
        Box::pin(std::future::ready(found.map_err(unusable)))
    }

    fn oldest(&self) -> Answer<'_, Option<String>> {
        let found = self.0.read(|transaction| {
            let data = transaction.open_table(DATA)?;
            Ok(data.first()?.map(|(_, payload)| payload.value().to_owned()))
        });
        Box::pin(std::future::ready(found.map_err(unusable)))
    }

    fn delete<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let id = number(id);
        Box::pin(async move {
            let Some(id) = id else { return Ok(()) };
            let deleted = self.0.write(0, move |transaction| delete(transaction, id));
            deleted.await.map_err(unusable)
        })
    }

    fn delete_oldest(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            let deleted = self.0.write(0, |transaction| {
                let first = transaction.open_table(DATA)?.first()?.map(|(first, _)| first.value());
                first.map(|id| delete(transaction, id)).transpose().map(|deleted| deleted.is_some())
            });
            deleted.await.map_err(unusable)
        })
    }
}

fn delete(transaction: &WriteTransaction, id: u64) -> Result<(), redb::Error> {
    transaction.open_table(DATA)?.remove(id)?;
    let mut deleted = transaction.open_table(DELETED)?;
    deleted.insert(id, ())?;
    if deleted.len()? > MOST_DELETED {
        deleted.pop_first()?;
    }
    Ok(())
}

fn number(id: &str) -> Option<u64> {
    id.parse().ok()
}

fn unusable(error: FileError) -> Problem {
    Problem::unavailable("The store cannot be read or written.", 2).cause(error)
}
