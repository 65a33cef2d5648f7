//! The methods that a disk, directory or file of a test hands on to its `inner`, by name: what is
//! written out in a wrapper is what it is for.

macro_rules! forward {
    () => {};
    (open $($rest:ident)*) => {
        fn open(
            &self,
            path: &::std::path::Path,
            open: ::log_core::disk::Open,
        ) -> ::std::io::Result<::std::sync::Arc<dyn ::log_core::disk::File>> {
            self.inner.open(path, open)
        }
        forward!($($rest)*);
    };
    (list $($rest:ident)*) => {
        fn list(
            &self,
            path: &::std::path::Path,
        ) -> ::std::io::Result<Vec<::log_core::disk::Entry>> {
            self.inner.list(path)
        }
        forward!($($rest)*);
    };
    (rename $($rest:ident)*) => {
        fn rename(
            &self,
            from: &::std::path::Path,
            to: &::std::path::Path,
        ) -> ::std::io::Result<()> {
            self.inner.rename(from, to)
        }
        forward!($($rest)*);
    };
    (create_dir $($rest:ident)*) => { forward!(@path create_dir); forward!($($rest)*); };
    (unlink $($rest:ident)*) => { forward!(@path unlink); forward!($($rest)*); };
    (remove_dir $($rest:ident)*) => { forward!(@path remove_dir); forward!($($rest)*); };
    (sync_dir $($rest:ident)*) => { forward!(@path sync_dir); forward!($($rest)*); };
    (lock $($rest:ident)*) => {
        fn lock(
            &self,
            path: &::std::path::Path,
        ) -> ::std::io::Result<Box<dyn ::log_core::disk::Lock>> {
            self.inner.lock(path)
        }
        forward!($($rest)*);
    };
    (disk $($rest:ident)*) => {
        fn disk(&self) -> ::std::io::Result<Box<dyn ::log_core::disk::Disk>> {
            self.inner.disk()
        }
        forward!($($rest)*);
    };
    (len $($rest:ident)*) => {
        fn len(&self) -> ::std::io::Result<u64> {
            self.inner.len()
        }
        forward!($($rest)*);
    };
    (read_at $($rest:ident)*) => {
        fn read_at(&self, position: u64, buffer: &mut [u8]) -> ::std::io::Result<usize> {
            self.inner.read_at(position, buffer)
        }
        forward!($($rest)*);
    };
    (write_at $($rest:ident)*) => {
        fn write_at(&self, position: u64, buffer: &[u8]) -> ::std::io::Result<usize> {
            self.inner.write_at(position, buffer)
        }
        forward!($($rest)*);
    };
    (map $($rest:ident)*) => {
        fn map(&self, bytes: u64) -> ::std::io::Result<::log_core::disk::Mapping> {
            self.inner.map(bytes)
        }
        forward!($($rest)*);
    };
    (allocate $($rest:ident)*) => { forward!(@bytes allocate); forward!($($rest)*); };
    (set_len $($rest:ident)*) => { forward!(@bytes set_len); forward!($($rest)*); };
    (sync $($rest:ident)*) => { forward!(@plain sync); forward!($($rest)*); };
    (drop_cache $($rest:ident)*) => { forward!(@plain drop_cache); forward!($($rest)*); };
    (@path $method:ident) => {
        fn $method(&self, path: &::std::path::Path) -> ::std::io::Result<()> {
            self.inner.$method(path)
        }
    };
    (@bytes $method:ident) => {
        fn $method(&self, bytes: u64) -> ::std::io::Result<()> {
            self.inner.$method(bytes)
        }
    };
    (@plain $method:ident) => {
        fn $method(&self) -> ::std::io::Result<()> {
            self.inner.$method()
        }
    };
}
