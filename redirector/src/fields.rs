//! Header fields of a request, on either port.

/// Header fields of a request, which are read only when a decision or a click needs them.
pub trait Fields<'a> {
    /// Returns the values of a field as received, one for each of its lines. The name is in lower case.
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// Visits the name and the value of each field. Names may be in any case.
    fn for_each(&self, visit: impl FnMut(&[u8], &'a [u8]));

    /// Returns whether a field has a name that `is_wanted` accepts.
    fn any_name(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        let mut has_any = false;
        self.for_each(|name, _| has_any |= is_wanted(name));
        has_any
    }

    fn first(&self, name: &'static str) -> &'a [u8] {
        self.values(name).next().unwrap_or_default()
    }
}
