//! What is asked of a model: its shape, and values that no two requests share.

use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::ModelMetadataResponse;

/// The model under load, as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) name: String,
    /// The version asked for, or the server's default.
    pub(crate) version: Option<u32>,
    /// The name of its input.
    pub(crate) input: String,
    /// Channels of a row.
    pub(crate) channels: usize,
    /// Rows in a window.
    pub(crate) rows: usize,
    /// Windows in a request.
    pub(crate) windows: usize,
}

impl Subject {
    /// What a server says of a model; with `rows` rows in a window, or as many as it recommends.
    ///
    /// # Errors
    /// Where its input is not `[batch, time, channel]`, or nobody says how long a window is.
    pub(crate) fn new(
        metadata: &ModelMetadataResponse,
        version: Option<u32>,
        rows: Option<usize>,
        windows: usize,
    ) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::new(Code::OptionInvalid, format!("model {}: {what}", metadata.name));
        let [input] = &metadata.inputs[..] else {
            return Err(wrong("it has not exactly one input, so it is no model of time series"));
        };
        let [_, time, channels] = input.shape[..] else {
            return Err(wrong("its input has not the shape [batch, time, channel]"));
        };
        let recommended = metadata.properties.get("window_recommended").and_then(|text| text.parse().ok());
        let rows = rows.or(usize::try_from(time).ok()).or(recommended);
        Ok(Self {
            name: metadata.name.clone(),
            version,
            input: input.name.clone(),
            channels: usize::try_from(channels).ok().filter(|channels| *channels > 0).unwrap_or(1),
            rows: rows.ok_or_else(|| wrong("the server does not say how long a window is; give --window"))?,
            windows,
        })
    }

    /// Values of `windows` windows: waves with another phase for each `number`, so that no answer can be a stored one.
    pub(crate) fn values(&self, number: u64, windows: usize) -> Vec<f32> {
        let one = |window: usize| {
            let phase = number as f64 * 0.731 + window as f64 * 0.173;
            (0..self.rows).flat_map(move |row| self.row(phase, row as u64))
        };
        (0..windows).flat_map(one).collect()
    }

    /// One row of a sequence, from its number and the row's: the same whenever it is asked for.
    pub(crate) fn row(&self, phase: f64, row: u64) -> impl Iterator<Item = f32> + use<> {
        (0..self.channels).map(move |channel| {
            let turn = row as f64 / 7.6 + phase + channel as f64;
            (15_000.0 + 8_000.0 * turn.sin() + 500.0 * (turn * 3.7).sin()) as f32
        })
    }

    /// The version as the wire has it: empty where none was asked for.
    pub(crate) fn version_text(&self) -> String {
        self.version.map(|version| version.to_string()).unwrap_or_default()
    }

    /// The path of its inference over HTTP.
    pub(crate) fn infer_path(&self) -> String {
        let version = self.version.map(|version| format!("/versions/{version}")).unwrap_or_default();
        format!("/v2/models/{}{version}/infer", self.name)
    }
}

/// Values as they lie in a binary tensor.
pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
pub(crate) fn example() -> Subject {
    Subject { name: "taxi".into(), version: None, input: "series".into(), channels: 2, rows: 3, windows: 4 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_protocol::grpc::wire::model_metadata_response::TensorMetadata;

    fn metadata(shape: &[i64], recommended: &str) -> ModelMetadataResponse {
        let input = TensorMetadata { name: "x".into(), datatype: "FP32".into(), shape: shape.to_vec() };
        let properties = [("window_recommended".to_owned(), recommended.to_owned())].into();
        ModelMetadataResponse { name: "m".into(), inputs: vec![input], properties, ..Default::default() }
    }

    #[test]
    fn the_window_is_what_is_asked_for_or_fixed_or_recommended() {
        let rows = |shape: &[i64], said: &str, asked| {
            Subject::new(&metadata(shape, said), None, asked, 1).map(|subject| subject.rows).ok()
        };
        assert_eq!(rows(&[-1, -1, 1], "401", Some(64)), Some(64));
        assert_eq!(rows(&[-1, -1, 1], "401", None), Some(401));
        assert_eq!(rows(&[-1, 16, 1], "", None), Some(16));
        assert_eq!(rows(&[-1, -1, 1], "", None), None);
        assert_eq!(rows(&[-1, 4], "401", None), None);
    }

    #[test]
    fn requests_have_values_of_their_own_and_sequences_repeatable_rows() {
        let subject = example();
        assert_eq!(subject.values(1, 4).len(), 4 * 3 * 2);
        assert_ne!(subject.values(1, 1), subject.values(2, 1));
        assert_eq!(subject.row(0.5, 9).collect::<Vec<_>>(), subject.row(0.5, 9).collect::<Vec<_>>());
    }
}
