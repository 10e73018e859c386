//! Little-endian fields, taken from the front of untrusted bytes.

use super::Error;
use crate::kernel::Real;

/// Bytes still to be read.
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
}

const SHORT: Error = Error::Corrupt { what: "a field reaches beyond the end" };

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn switch(&mut self) -> Result<bool, Error> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Corrupt { what: "a switch is neither on nor off" }),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        usize::try_from(self.u64()?).map_err(|_| SHORT)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// The bytes of an array of `width`-byte elements; the length is checked before anything is allocated.
    fn elements(&mut self, width: usize) -> Result<impl Iterator<Item = &'b [u8]>, Error> {
        let bytes = self.count()?.checked_mul(width).ok_or(SHORT)?;
        Ok(self.take(bytes)?.chunks_exact(width))
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let length = self.count()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::Corrupt { what: "a name is not UTF-8" })
    }

    pub(crate) fn counts(&mut self) -> Result<Vec<usize>, Error> {
        let word = |b: &[u8]| u64::from_le_bytes(b.try_into().expect("8 bytes"));
        self.elements(8)?.map(|b| usize::try_from(word(b)).map_err(|_| SHORT)).collect()
    }

    pub(crate) fn u32s(&mut self) -> Result<Vec<u32>, Error> {
        Ok(self.elements(4)?.map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes"))).collect())
    }

    pub(crate) fn f32s(&mut self) -> Result<Vec<f32>, Error> {
        let values: Vec<f32> =
            self.elements(4)?.map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect();
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(Error::Corrupt { what: "a number is not finite" })
    }

    /// Finite numbers in the width of their type.
    pub(crate) fn reals<R: Real>(&mut self) -> Result<Vec<R>, Error> {
        let values: Vec<R> = self.elements(size_of::<R>())?.map(R::from_le_slice).collect();
        if values.iter().all(|value| value.widen().is_finite()) {
            return Ok(values);
        }
        Err(Error::Corrupt { what: "a number is not finite" })
    }

    pub(crate) fn f64s(&mut self) -> Result<Vec<f64>, Error> {
        let values: Vec<f64> =
            self.elements(8)?.map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect();
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(Error::Corrupt { what: "a number is not finite" })
    }
}
