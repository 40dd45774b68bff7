//! Bytes that are durable become part of a stream, or are forgotten.

use pybit_core::model::{Appended, NewPart, Stream, StreamId, StreamRole};
use pybit_core::{Error, Result};

use super::{fence, rows};
use crate::sql::call::signed;
use crate::sql::{Call, Dialect, SqlStore, commit, statements as sql};

pub(super) async fn append<D: Dialect>(
    store: &SqlStore<D>,
    id: StreamId,
    part: &NewPart,
) -> Result<Appended> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let stream = rows::existing::<D>(connection, id).await?;
    fence::check::<D>(connection, &stream).await?;
    if stream.object.is_some() {
        return Err(sealed(&stream));
    }
    if part.offset != stream.length {
        return Ok(Appended::Mismatch(stream.length));
    }
    let length = stream.length.saturating_add(part.length);
    if let Some(size) = stream.size.filter(|size| length > *size) {
        let message =
            format!("the file {} was declared with {size} bytes, not {length}", stream.name);
        return Err(Error::invalid(message).with_code("size_exceeded"));
    }
    if part.length == 0 {
        return Ok(Appended::Grown(length));
    }
    if add::<D>(connection, id, part).await? {
        commit(transaction).await?;
        return Ok(Appended::Grown(length));
    }
    let now = rows::existing::<D>(connection, id).await?;
    if now.object.is_some() { Err(sealed(&now)) } else { Ok(Appended::Mismatch(now.length)) }
}

/// `false` where somebody else was faster.
async fn add<D: Dialect>(
    connection: &mut D::Connection,
    id: StreamId,
    part: &NewPart,
) -> Result<bool> {
    let (offset, length) = (signed(part.offset)?, signed(part.length)?);
    let grown =
        Call::<D>::new(&sql::STREAM_GROW).int(id.0).int(offset).int(length).run(connection).await?;
    if grown == 0 {
        return Ok(false);
    }
    Call::<D>::new(&sql::PART_ADD)
        .int(id.0)
        .int(offset)
        .int(length)
        .text(&part.object)
        .run_one(connection)
        .await?;
    Ok(true)
}

pub(super) async fn reset<D: Dialect>(store: &SqlStore<D>, id: StreamId) -> Result<()> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let stream = rows::existing::<D>(connection, id).await?;
    fence::hold::<D>(connection, &stream).await?;
    let stream = rows::held::<D>(connection, id).await?;
    if stream.role == StreamRole::Log {
        return Err(Error::internal("a log never starts again").with_code("not_a_file"));
    }
    if stream.object.is_some() {
        return Err(sealed(&stream));
    }
    Call::<D>::new(&sql::PARTS_REMOVE_ALL).int(id.0).run(connection).await?;
    Call::<D>::new(&sql::STREAM_RESET).int(id.0).run_one(connection).await?;
    commit(transaction).await
}

fn sealed(stream: &Stream) -> Error {
    Error::conflict(format!("{} is complete and does not change any more", stream.name))
        .with_code("sealed")
}
