//! Columns of JSON values as Arrow arrays: the inverse of how cells are read.

use std::fmt;
use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, MapArray, StringArray,
    StructArray, new_null_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value;

/// Values of one column, `None` where an outer one is missing.
type Values<'a> = [Option<&'a Value>];

/// Why a column cannot be made of its values.
pub(super) enum Misfit {
    /// A value is not of the column's type.
    Value { value: String, kind: DataType },
    /// The values make no array.
    Array(ArrowError),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { value, kind } => write!(f, "{value} is no {kind}; did the input change?"),
            Self::Array(error) => error.fmt(f),
        }
    }
}

impl From<ArrowError> for Misfit {
    fn from(error: ArrowError) -> Self {
        Self::Array(error)
    }
}

/// An array of this type.
pub(super) fn of(kind: &DataType, values: &Values<'_>) -> Result<ArrayRef, Misfit> {
    match kind {
        DataType::Null => Ok(new_null_array(kind, values.len())),
        DataType::Boolean => Ok(Arc::new(BooleanArray::from(read(kind, values, Value::as_bool)?))),
        DataType::Utf8 => {
            Ok(Arc::new(values.iter().map(|value| Some(text(present(*value)?))).collect::<StringArray>()))
        }
        DataType::Int8 => primitive::<Int8Type>(kind, values, integer),
        DataType::Int16 => primitive::<Int16Type>(kind, values, integer),
        DataType::Int32 => primitive::<Int32Type>(kind, values, integer),
        DataType::Int64 => primitive::<Int64Type>(kind, values, integer),
        DataType::UInt8 => primitive::<UInt8Type>(kind, values, integer),
        DataType::UInt16 => primitive::<UInt16Type>(kind, values, integer),
        DataType::UInt32 => primitive::<UInt32Type>(kind, values, integer),
        DataType::UInt64 => primitive::<UInt64Type>(kind, values, Value::as_u64),
        DataType::Float32 => primitive::<Float32Type>(kind, values, single),
        DataType::Float64 => primitive::<Float64Type>(kind, values, Value::as_f64),
        kind => of_texts(kind, values),
    }
}

/// What stands in JSON as a text, though it is none.
fn of_texts(kind: &DataType, values: &Values<'_>) -> Result<ArrayRef, Misfit> {
    match kind {
        DataType::Binary => {
            let bytes = read(kind, values, bytes)?;
            Ok(Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>()))
        }
        DataType::FixedSizeBinary(size) => {
            let bytes = read(kind, values, bytes)?.into_iter();
            Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, *size)?))
        }
        DataType::Decimal128(_, scale) => {
            primitive::<Decimal128Type>(kind, values, |value| unscaled(value, *scale)?.parse().ok())
        }
        DataType::Decimal256(_, scale) => {
            primitive::<Decimal256Type>(kind, values, |value| unscaled(value, *scale)?.parse().ok())
        }
        DataType::Date32 => primitive::<Date32Type>(kind, values, days),
        DataType::Time32(TimeUnit::Millisecond) => {
            primitive::<Time32MillisecondType>(kind, values, |value| since_midnight(value, 1_000_000))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(kind, values, |value| since_midnight(value, 1_000))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            primitive::<Time64NanosecondType>(kind, values, |value| since_midnight(value, 1))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(kind, values, |value| since_epoch(value, 1_000_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(kind, values, |value| since_epoch(value, 1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(kind, values, |value| since_epoch(value, 1))
        }
        kind => of_nested(kind, values),
    }
}

fn of_nested(kind: &DataType, values: &Values<'_>) -> Result<ArrayRef, Misfit> {
    match kind {
        DataType::List(item) => list(kind, item, values),
        DataType::Struct(fields) => Ok(Arc::new(structs(kind, fields, values)?)),
        DataType::Map(entry, sorted) => map(kind, entry, *sorted, values),
        kind => Err(ArrowError::NotYetImplemented(format!("{kind} is not written")).into()),
    }
}

fn list(kind: &DataType, item: &FieldRef, values: &Values<'_>) -> Result<ArrayRef, Misfit> {
    let lists = read(kind, values, Value::as_array)?;
    let items: Vec<_> = lists.iter().flatten().flat_map(|list| list.iter().map(Some)).collect();
    let items = of(item.data_type(), &items)?;
    let (offsets, nulls) = outline(&lists, |list| list.len());
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls)?))
}

fn structs(kind: &DataType, fields: &Fields, values: &Values<'_>) -> Result<StructArray, Misfit> {
    let objects = read(kind, values, Value::as_object)?;
    let column = |field: &FieldRef| {
        let values: Vec<_> = objects.iter().map(|object| object.and_then(|object| object.get(field.name()))).collect();
        of(field.data_type(), &values)
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let (_, nulls) = outline(&objects, |_| 0);
    Ok(StructArray::try_new_with_length(fields.clone(), columns, nulls, values.len())?)
}

/// A map with text keys is an object, another one a list of its entries.
fn map(kind: &DataType, entry: &Arc<Field>, sorted: bool, values: &Values<'_>) -> Result<ArrayRef, Misfit> {
    let DataType::Struct(fields) = entry.data_type() else {
        return Err(ArrowError::SchemaError(format!("{kind} has no entries")).into());
    };
    let maps = read(kind, values, |value| entries(fields, value))?;
    let all: Vec<_> = maps.iter().flatten().flatten().map(Some).collect();
    let all = structs(entry.data_type(), fields, &all)?;
    let (offsets, nulls) = outline(&maps, Vec::len);
    Ok(Arc::new(MapArray::try_new(Arc::clone(entry), offsets, all, nulls, sorted)?))
}

fn entries(fields: &Fields, value: &Value) -> Option<Vec<Value>> {
    let [key, item] = [fields.first()?, fields.get(1)?].map(|field| field.name());
    let entry = |(name, value): (&String, &Value)| serde_json::json!({ key: name, item: value });
    match value {
        Value::Object(object) => Some(object.iter().map(entry).collect()),
        Value::Array(entries) => Some(entries.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Where each value's items end, and which values are missing.
fn outline<T>(values: &[Option<T>], items: impl Fn(&T) -> usize) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
    let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| value.as_ref().map_or(0, &items)));
    let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
    (offsets, Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

fn primitive<T: ArrowPrimitiveType>(
    kind: &DataType,
    values: &Values<'_>,
    one: impl Fn(&Value) -> Option<T::Native>,
) -> Result<ArrayRef, Misfit> {
    let mut array = PrimitiveBuilder::<T>::with_capacity(values.len()).with_data_type(kind.clone());
    read(kind, values, one)?.into_iter().for_each(|value| array.append_option(value));
    Ok(Arc::new(array.finish()))
}

/// Each value, if it is there; all that are there must be of the type.
fn read<'a, T>(
    kind: &DataType,
    values: &Values<'a>,
    one: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>, Misfit> {
    let misfit = |value: &Value| Misfit::Value { value: value.to_string(), kind: kind.clone() };
    values
        .iter()
        .map(|value| present(*value).map(|value| one(value).ok_or_else(|| misfit(value))).transpose())
        .collect()
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn integer<N: TryFrom<i64>>(value: &Value) -> Option<N> {
    N::try_from(value.as_i64()?).ok()
}

/// JSON has the shortest decimal of it, which is nearest to it among all doubles too.
#[expect(clippy::cast_possible_truncation, reason = "it was a single float before it was JSON")]
fn single(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

/// The digits of a decimal text, to this many places behind the point.
fn unscaled(value: &Value, scale: i8) -> Option<String> {
    let text = value.as_str()?;
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let scale = usize::try_from(scale).ok()?;
    (places.len() <= scale).then(|| format!("{whole}{places:0<scale$}"))
}

fn days(value: &Value) -> Option<i32> {
    let Some(text) = value.as_str() else { return integer(value) };
    let since = text.parse::<Date>().ok()?.duration_since(Date::constant(1970, 1, 1));
    i32::try_from(since.as_secs() / 86_400).ok()
}

fn since_midnight<N: TryFrom<i64>>(value: &Value, unit: i128) -> Option<N> {
    let Some(text) = value.as_str() else { return integer(value) };
    let since = text.parse::<Time>().ok()?.duration_since(Time::midnight());
    N::try_from(i64::try_from(since.as_nanos() / unit).ok()?).ok()
}

/// A text without a zone is a local time, which stands in Parquet as if it were UTC.
fn since_epoch(value: &Value, unit: i128) -> Option<i64> {
    let Some(text) = value.as_str() else { return integer(value) };
    let moment: Timestamp = if text.ends_with('Z') { text.parse() } else { format!("{text}Z").parse() }.ok()?;
    i64::try_from(moment.as_nanosecond().div_euclid(unit)).ok()
}
