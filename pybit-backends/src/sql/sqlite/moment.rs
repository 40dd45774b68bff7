//! Times in SQLite: microseconds since 1970 in an integer.

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Sqlite, Type};

use crate::sql::dialect::Moment;

impl Type<Sqlite> for Moment {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(other: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(other)
    }
}

impl<'q> Encode<'q, Sqlite> for Moment {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'q, Sqlite>>::encode_by_ref(&self.0.as_micros(), buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Moment {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(Timestamp::from_micros(micros)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Value;
    use sqlx::sqlite::SqliteArguments;

    #[test]
    fn a_moment_is_microseconds() {
        let mut arguments = SqliteArguments::default();
        <Sqlite as Value<Moment>>::bind(&mut arguments, Moment(Timestamp::from_micros(7))).unwrap();
        assert!(format!("{arguments:?}").contains("Int64(7)"), "{arguments:?}");
    }
}
