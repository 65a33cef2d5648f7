//! Models, oracles and runners that try to break oncelog.
