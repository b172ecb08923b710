//! `fraktalia-admin`: the desk of the admin room at work. It drives the room, the door and the hands that plan and apply.
