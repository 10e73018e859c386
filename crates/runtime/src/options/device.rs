//! Where reservoirs step.

use std::fmt;
use std::str::FromStr;

/// What `--device` and `node.device` take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On graphics cards, for models that are faster there; software that only plays a card is left alone.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On all graphics cards, or on the one of this number; whatever a card cannot do, on the CPU.
    Gpu(Option<usize>),
}

impl Device {
    /// What may be written, as errors say it.
    pub const FORMS: &str = "auto, cpu, gpu or gpu:I with I the number of a card, from 0";
}

impl FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu(None)),
            _ => {
                let index = text.strip_prefix("gpu:").filter(|digits| !digits.starts_with('+'));
                index.and_then(|index| index.parse().ok()).map(|index| Device::Gpu(Some(index))).ok_or(())
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(None) => f.write_str("gpu"),
            Device::Gpu(Some(index)) => write!(f, "gpu:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back_and_others_are_refused() {
        for device in [Device::Auto, Device::Cpu, Device::Gpu(None), Device::Gpu(Some(3))] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu:+1", "gpu:1:2", "cuda", "gpu:99999999999999999999"] {
            assert_eq!(text.parse::<Device>(), Err(()), "{text:?}");
        }
    }
}
