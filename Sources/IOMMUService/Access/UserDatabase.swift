import Glibc

/// The users and groups that this machine knows by name. Only for the thread of the loop.
enum UserDatabase {
    static func uid(ofUser name: String) -> UInt32? { getpwnam(name)?.pointee.pw_uid }

    /// However many members the group has.
    static func gid(ofGroup name: String) -> UInt32? { getgrnam(name)?.pointee.gr_gid }
}
