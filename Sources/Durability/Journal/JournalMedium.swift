import LinuxIO

/// Where a journal is: two files, of which one is in force and the other may be made to take its place.
package protocol JournalMedium: AnyObject {
    /// What the file in force says; nil: there is none.
    func load() throws(SystemError) -> [UInt8]?
    /// Has room kept for the bytes up to an end: writing them cannot fail for want of it.
    func keepRoom(_ file: JournalFile, upTo end: UInt64) throws(SystemError)
    /// Writes bytes at the end of a file, all of them.
    func write(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at place: UInt64) throws(SystemError)
    /// Makes the other file anew, empty.
    func begin() throws(SystemError)
    /// The other file takes the place of the one in force, from one instant to the next.
    func publish() throws(SystemError)
    /// The other file is of no use.
    func abandon()
    /// The file in force ends there.
    func cut(at end: UInt64) throws(SystemError)
    /// The file in force is put aside, whatever it says.
    func putAside() throws(SystemError)
}

/// One of the two.
package enum JournalFile: Sendable {
    case inForce, next
}
