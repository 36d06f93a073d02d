//! A cell as JSON: what templates, ids and keys see of it.
//!
//! Numbers, truth values, texts, lists and structs are JSON's own. Dates, times and timestamps are ISO 8601 texts, those that
//! are moments in UTC with a `Z`; decimals are texts, so that no digit is lost; bytes are base64; a map with text keys is an
//! object. NaN and the infinities, which JSON does not have, are null.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, Time};
use jiff::{SignedDuration, Span, Timestamp};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

/// A row of a batch.
pub(super) struct RowCells<'a> {
    pub(super) batch: &'a RecordBatch,
    pub(super) uuids: &'a [bool],
    pub(super) index: usize,
}

impl Serialize for RowCells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = self.batch.schema_ref();
        let mut row = serializer.serialize_map(Some(schema.fields().len()))?;
        for ((field, array), is_uuid) in schema.fields().iter().zip(self.batch.columns()).zip(self.uuids) {
            let cell = Cell { array, index: self.index };
            match cell.uuid().filter(|_| *is_uuid) {
                Some(uuid) => row.serialize_entry(field.name(), &uuid)?,
                None => row.serialize_entry(field.name(), &cell)?,
            }
        }
        row.end()
    }
}

/// Whether cells of this type can be read.
pub(super) fn is_known(kind: &DataType) -> bool {
    match kind {
        DataType::Null
        | DataType::Boolean
        | DataType::Utf8
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => true,
        DataType::Time32(unit) => *unit == TimeUnit::Millisecond,
        DataType::Timestamp(unit, _) => *unit != TimeUnit::Second,
        DataType::List(item) => is_known(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_known(field.data_type())),
        DataType::Map(entry, _) => is_known(entry.data_type()),
        kind => kind.is_integer() || kind.is_floating(),
    }
}

struct Cell<'a> {
    array: &'a dyn Array,
    index: usize,
}

impl Cell<'_> {
    /// As a UUID is written, where these are its bytes.
    fn uuid(&self) -> Option<String> {
        let bytes = self.array.as_fixed_size_binary_opt().filter(|_| self.array.is_valid(self.index))?;
        let number = u128::from_be_bytes(bytes.value(self.index).try_into().ok()?);
        let digits = format!("{number:032x}");
        Some([0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]).join("-"))
    }
}

/// The value of a primitive array.
macro_rules! value {
    ($cell:ident, $kind:ty) => {
        $cell.array.as_primitive::<$kind>().value($cell.index)
    };
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.array.is_null(self.index) {
            return to.serialize_none();
        }
        match self.array.data_type() {
            DataType::Null => to.serialize_none(),
            DataType::Boolean => to.serialize_bool(self.array.as_boolean().value(self.index)),
            DataType::Utf8 => to.serialize_str(self.array.as_string::<i32>().value(self.index)),
            DataType::Int8 => to.serialize_i8(value!(self, Int8Type)),
            DataType::Int16 => to.serialize_i16(value!(self, Int16Type)),
            DataType::Int32 => to.serialize_i32(value!(self, Int32Type)),
            DataType::Int64 => to.serialize_i64(value!(self, Int64Type)),
            DataType::UInt8 => to.serialize_u8(value!(self, UInt8Type)),
            DataType::UInt16 => to.serialize_u16(value!(self, UInt16Type)),
            DataType::UInt32 => to.serialize_u32(value!(self, UInt32Type)),
            DataType::UInt64 => to.serialize_u64(value!(self, UInt64Type)),
            DataType::Float16 => to.serialize_f32(value!(self, Float16Type).to_f32()),
            DataType::Float32 => to.serialize_f32(value!(self, Float32Type)),
            DataType::Float64 => to.serialize_f64(value!(self, Float64Type)),
            _ => self.serialize_other(to),
        }
    }
}

impl Cell<'_> {
    /// What is no type of JSON's own.
    fn serialize_other<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.array.data_type() {
            DataType::Binary => to.serialize_str(&STANDARD.encode(self.array.as_binary::<i32>().value(self.index))),
            DataType::FixedSizeBinary(_) => {
                to.serialize_str(&STANDARD.encode(self.array.as_fixed_size_binary().value(self.index)))
            }
            DataType::Decimal128(..) => {
                to.serialize_str(&self.array.as_primitive::<Decimal128Type>().value_as_string(self.index))
            }
            DataType::Decimal256(..) => {
                to.serialize_str(&self.array.as_primitive::<Decimal256Type>().value_as_string(self.index))
            }
            DataType::Date32 => text_or_number(date(value!(self, Date32Type)), value!(self, Date32Type).into(), to),
            DataType::Timestamp(unit, zone) => {
                let count = self.count(*unit);
                text_or_number(moment(count, *unit, zone.is_some()), count, to)
            }
            DataType::Time32(_) => {
                let millis = i64::from(value!(self, Time32MillisecondType));
                text_or_number(time(millis, TimeUnit::Millisecond), millis, to)
            }
            DataType::Time64(TimeUnit::Nanosecond) => {
                let nanos = value!(self, Time64NanosecondType);
                text_or_number(time(nanos, TimeUnit::Nanosecond), nanos, to)
            }
            DataType::Time64(_) => {
                let micros = value!(self, Time64MicrosecondType);
                text_or_number(time(micros, TimeUnit::Microsecond), micros, to)
            }
            _ => self.serialize_nested(to),
        }
    }

    fn serialize_nested<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.array.data_type() {
            DataType::List(_) => {
                let items = self.array.as_list::<i32>().value(self.index);
                to.collect_seq((0..items.len()).map(|index| Cell { array: &items, index }))
            }
            DataType::Struct(fields) => {
                let columns = self.array.as_struct().columns();
                let cells = fields.iter().zip(columns);
                to.collect_map(cells.map(|(field, array)| (field.name(), Cell { array, index: self.index })))
            }
            DataType::Map(..) => {
                let entries = self.array.as_map().value(self.index);
                let [keys, values] = [0, 1].map(|column| entries.column(column));
                match keys.as_string_opt::<i32>() {
                    Some(keys) => {
                        to.collect_map((0..keys.len()).map(|index| (keys.value(index), Cell { array: values, index })))
                    }
                    None => to.collect_seq((0..entries.len()).map(|index| Cell { array: &entries, index })),
                }
            }
            kind => Err(S::Error::custom(format!("{kind} is not read"))),
        }
    }

    fn count(&self, unit: TimeUnit) -> i64 {
        match unit {
            TimeUnit::Microsecond => value!(self, TimestampMicrosecondType),
            TimeUnit::Millisecond => value!(self, TimestampMillisecondType),
            // Parquet has no seconds.
            TimeUnit::Nanosecond | TimeUnit::Second => value!(self, TimestampNanosecondType),
        }
    }
}

/// What lies outside of the calendar stays the number that it is.
fn text_or_number<S: Serializer>(text: Option<String>, number: i64, to: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_str(&text),
        None => to.serialize_i64(number),
    }
}

fn date(days: i32) -> Option<String> {
    let day = Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(day.to_string())
}

fn moment(count: i64, unit: TimeUnit, is_utc: bool) -> Option<String> {
    let moment = Timestamp::from_nanosecond(i128::from(count) * i128::from(nanoseconds(unit))).ok()?;
    let text = moment.to_string();
    Some(if is_utc { text } else { text.trim_end_matches('Z').to_owned() })
}

fn time(count: i64, unit: TimeUnit) -> Option<String> {
    let since = SignedDuration::from_nanos(count.checked_mul(nanoseconds(unit))?);
    Some(Time::midnight().checked_add(since).ok()?.to_string())
}

fn nanoseconds(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}
