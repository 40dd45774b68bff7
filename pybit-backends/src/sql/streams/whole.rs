//! One object in the place of many. The bytes stay what they are, so a log may be tidied after its attempt has ended.

use pybit_core::clock::Timestamp;
use pybit_core::model::{NewPart, StreamId, StreamRole};
use pybit_core::{Error, Result};

use super::{fence, rows};
use crate::sql::call::signed;
use crate::sql::{Call, Dialect, SqlStore, commit, statements as sql};

pub(super) async fn merge<D: Dialect>(
    store: &SqlStore<D>,
    id: StreamId,
    into: &NewPart,
) -> Result<bool> {
    let (start, length) = (signed(into.offset)?, signed(into.length)?);
    let end = start.saturating_add(length);
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    // Two who merge, or one who merges and one who seals, look at the parts one after the other.
    Call::<D>::new(&sql::STREAM_LOCK).int(id.0).first(connection, rows::stream).await?;
    let covered = Call::<D>::new(&sql::PARTS_COVER)
        .int(id.0)
        .int(start)
        .int(end)
        .one(connection, |c| Ok((c.int("first_at")?, c.int("covered")?)))
        .await?;
    // Parts have no gaps between them, so first byte and sum say that they end at the same byte too.
    if length == 0 || covered != (start, length) {
        return Ok(false);
    }
    Call::<D>::new(&sql::PARTS_REMOVE).int(id.0).int(start).int(end).run(connection).await?;
    Call::<D>::new(&sql::PART_ADD)
        .int(id.0)
        .int(start)
        .int(length)
        .text(&into.object)
        .run_one(connection)
        .await?;
    commit(transaction).await?;
    Ok(true)
}

pub(super) async fn seal<D: Dialect>(
    store: &SqlStore<D>,
    id: StreamId,
    length: u64,
    object: &str,
    sha256: &str,
) -> Result<bool> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let stream = rows::existing::<D>(connection, id).await?;
    if stream.role == StreamRole::File {
        fence::hold::<D>(connection, &stream).await?;
    }
    let stream = rows::held::<D>(connection, id).await?;
    if stream.object.is_some() || stream.length != length {
        return Ok(false);
    }
    if let Some(size) = stream.size.filter(|size| *size != length) {
        let message = format!("the file {} has {length} of its {size} bytes", stream.name);
        return Err(Error::conflict(message).with_code("incomplete"));
    }
    let sealed = Call::<D>::new(&sql::STREAM_SEAL)
        .int(id.0)
        .int(signed(length)?)
        .text(object)
        .text(sha256)
        .run(connection)
        .await?;
    if sealed == 0 {
        return Ok(false);
    }
    Call::<D>::new(&sql::PARTS_REMOVE_ALL).int(id.0).run(connection).await?;
    commit(transaction).await?;
    Ok(true)
}

pub(super) async fn give_up_unfinished<D: Dialect>(
    store: &SqlStore<D>,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<String>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let found = Call::<D>::new(&sql::FILES_UNFINISHED).at(before).int(limit);
    let mut objects = Vec::new();
    for id in found.all(connection, |c| Ok(StreamId(c.int("id")?))).await? {
        // Another server may have been here, or the last piece have come, since it was found.
        if rows::held::<D>(connection, id).await?.object.is_some() {
            continue;
        }
        let parts = Call::<D>::new(&sql::PARTS_ALL).int(id.0);
        objects.extend(parts.all(connection, |c| c.text("object")).await?);
        Call::<D>::new(&sql::PARTS_REMOVE_ALL).int(id.0).run(connection).await?;
        Call::<D>::new(&sql::STREAM_RESET).int(id.0).run_one(connection).await?;
    }
    commit(transaction).await?;
    Ok(objects)
}
