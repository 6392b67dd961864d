//! A value that speaks of a person, or lets somebody in.
//!
//! It has no `Debug`, `Display` or `Serialize`, so it reaches no log, error or topic by accident, and its memory is
//! wiped when it goes. Whoever needs it says so by [`Pii::expose`], which is easy to search for.

use zeroize::Zeroize;

/// Personal data or a secret, in clear.
#[derive(Clone)]
pub struct Pii<T: Zeroize>(T);

impl<T: Zeroize> Pii<T> {
    /// Takes the value in.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value in clear, for the one who must see it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl Pii<Vec<u8>> {
    /// The same as text; `None` where it is no UTF-8.
    #[must_use]
    pub fn into_text(mut self) -> Option<Pii<String>> {
        match String::from_utf8(std::mem::take(&mut self.0)) {
            Ok(text) => Some(Pii(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                None
            }
        }
    }
}

impl<T: Zeroize> Drop for Pii<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::rc::Rc;

    /// An inherent constant, where its bounds hold, hides the one of this trait.
    trait Absent {
        const PRESENT: bool = false;
    }
    struct Debugged<T>(PhantomData<T>);
    struct Displayed<T>(PhantomData<T>);
    struct Serialized<T>(PhantomData<T>);
    impl<T> Absent for Debugged<T> {}
    impl<T> Absent for Displayed<T> {}
    impl<T> Absent for Serialized<T> {}
    impl<T: std::fmt::Debug> Debugged<T> {
        const PRESENT: bool = true;
    }
    impl<T: std::fmt::Display> Displayed<T> {
        const PRESENT: bool = true;
    }
    impl<T: serde::Serialize> Serialized<T> {
        const PRESENT: bool = true;
    }

    #[test]
    fn it_can_be_neither_logged_nor_shown_nor_serialised() {
        let found = [Debugged::<Pii<String>>::PRESENT, Displayed::<Pii<String>>::PRESENT, Serialized::<Pii<String>>::PRESENT];
        assert_eq!(found, [false; 3]);
        // The probe itself sees what is there.
        let found = [Debugged::<String>::PRESENT, Displayed::<String>::PRESENT, Serialized::<String>::PRESENT];
        assert_eq!(found, [true; 3]);
    }

    #[test]
    fn it_is_wiped_when_it_goes() {
        struct Watched(Rc<Cell<bool>>);
        impl Zeroize for Watched {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = Rc::new(Cell::new(false));
        let value = Pii::new(Watched(Rc::clone(&wiped)));
        assert!(!wiped.get());
        drop(value);
        assert!(wiped.get());
    }

    #[test]
    fn bytes_become_text_only_where_they_are_text() {
        assert!(Pii::new("文三路".as_bytes().to_vec()).into_text().is_some_and(|text| text.expose() == "文三路"));
        assert!(Pii::new(vec![0xff]).into_text().is_none());
    }
}
