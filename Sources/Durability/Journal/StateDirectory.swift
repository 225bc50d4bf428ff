import CLinux
import Glibc
import LinuxIO

/// The journal in a directory of its own, which one daemon at a time has.
///
/// An end of the process loses nothing that was written: it is in the system's pages. The end of the system loses all
/// of it, as it loses the memory that clients have passed; so nothing is ever synchronised.
package final class StateDirectory: JournalMedium {
    /// Where it is.
    package let path: String
    private let lock: Descriptor
    private var inForce: SharedDescriptor?
    private var next: SharedDescriptor?

    private static let (name, nextName, asideName) = ("journal", "journal.next", "journal.discarded")
    /// More is no journal of this program's: it would not have been written.
    private static let largest = 16 << 30

    /// Makes the directory, if need be, and takes it.
    ///
    /// - Throws: the errno of mkdir(2) or open(2); `EWOULDBLOCK` while another daemon has it.
    package init(_ path: String) throws(SystemError) {
        self.path = path
        if mkdir(path, 0o700) < 0, errno != EEXIST { throw .current("make the directory \(path)") }
        lock = try Self.open(path + "/lock", O_RDWR | O_CREAT)
        let result = clinux_lock(lock.number)
        guard result == 0 else { throw SystemError(errno: -result, "take \(path), which another daemon may have") }
    }

    private static func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        let number = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else { throw .current("open \(path)") }
        return Descriptor(adopting: number)
    }

    private func place(_ name: String) -> String { "\(path)/\(name)" }

    /// What the file in force says; nil: there is none.
    package func load() throws(SystemError) -> [UInt8]? {
        let number = Glibc.open(place(Self.name), O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else {
            if errno == ENOENT { return nil }
            throw .current("open \(place(Self.name))")
        }
        let file = SharedDescriptor(Descriptor(adopting: number))
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .current("look at \(place(Self.name))") }
        guard status.st_size <= Self.largest else { throw SystemError(errno: EFBIG, "read \(place(Self.name))") }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                pread(number, $0.baseAddress.map { $0 + done }, $0.count - done, off_t(done))
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .current("read \(place(Self.name))") }
            guard count > 0 else { break }
            done += count
        }
        inForce = file
        return Array(bytes.prefix(done))
    }

    private func descriptor(_ file: JournalFile) throws(SystemError) -> Int32 {
        guard let number = (file == .inForce ? inForce : next)?.number else {
            throw SystemError(errno: EBADF, "use the journal in \(path)")
        }
        return number
    }

    /// fallocate(2); a file system that does not know it is taken at its word.
    package func keepRoom(_ file: JournalFile, upTo end: UInt64) throws(SystemError) {
        let result = clinux_keep_room(try descriptor(file), 0, end)
        // A file system that cannot keep room says so where there is none.
        guard result == 0 || result == -EOPNOTSUPP else {
            throw SystemError(errno: -result, "keep room for the journal in \(path)")
        }
    }

    /// pwrite(2), as often as it takes.
    package func write(
        _ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at place: UInt64
    ) throws(SystemError) {
        let number = try descriptor(file)
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                number, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(place) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .current("write the journal in \(path)") }
            done += count
        }
    }

    /// The other file, empty.
    package func begin() throws(SystemError) {
        next = SharedDescriptor(try Self.open(place(Self.nextName), O_RDWR | O_CREAT | O_TRUNC))
    }

    /// rename(2)
    package func publish() throws(SystemError) {
        guard rename(place(Self.nextName), place(Self.name)) == 0 else {
            throw .current("put the journal in \(path) in force")
        }
        inForce = next
        next = nil
    }

    /// The other file goes.
    package func abandon() {
        next = nil
        unlink(place(Self.nextName))
    }

    /// ftruncate(2)
    package func cut(at end: UInt64) throws(SystemError) {
        guard ftruncate(try descriptor(.inForce), off_t(end)) == 0 else { throw .current("cut the journal in \(path)") }
    }

    /// The file in force gets another name.
    package func putAside() throws(SystemError) {
        inForce = nil
        guard rename(place(Self.name), place(Self.asideName)) == 0 || errno == ENOENT else {
            throw .current("put the journal in \(path) aside")
        }
    }

    // MARK: Beside the journal

    /// Keeps a small text, whole or not at all.
    package func keep(_ text: String, as name: String) throws(SystemError) {
        let file = try Self.open(place(name + ".next"), O_RDWR | O_CREAT | O_TRUNC)
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file.number, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .current("write \(place(name))") }
            done += count
        }
        guard rename(place(name + ".next"), place(name)) == 0 else { throw .current("keep \(place(name))") }
    }
}
