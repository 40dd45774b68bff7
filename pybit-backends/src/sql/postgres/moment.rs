//! A point in time as `TIMESTAMPTZ`: on the wire, microseconds since 2000-01-01 00:00 UTC.

use pybit_core::clock::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::sql::Moment;

/// `TIMESTAMPTZ` in PostgreSQL's `pg_type.dat`.
const TIMESTAMPTZ: Oid = Oid(1184);
/// 2000-01-01 00:00 UTC.
const EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }

    fn compatible(other: &PgTypeInfo) -> bool {
        other.oid() == Some(TIMESTAMPTZ)
    }
}

impl<'q> Encode<'q, Postgres> for Moment {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.as_micros().checked_sub(EPOCH).ok_or("the time is too early")?;
        <i64 as Encode<'q, Postgres>>::encode_by_ref(&micros, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Moment {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<'r, Postgres>>::decode(value)?;
        let micros = micros.checked_add(EPOCH).ok_or("the time is too late")?;
        Ok(Self(Timestamp::from_micros(micros)))
    }
}
