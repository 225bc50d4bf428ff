import CSystemd
import Glibc
import LinuxIO

/// A file descriptor that the service manager passed at start: a socket of a `.socket` unit, or one that an earlier
/// run put in the ``DescriptorStore``.
public struct PassedDescriptor: Sendable {
    /// What a descriptor is, as far as telling a socket unit's from a stored one needs.
    public enum Kind: Sendable, Equatable {
        /// A Unix stream socket in listening state.
        case unixListener
        /// Any other stream or seqpacket socket in listening state.
        case otherListener
        /// A socket that is not listening.
        case socket
        /// A pipe or FIFO.
        case fifo
        /// Anything else: a file, memfd, device, pidfd, eventfd.
        case other
    }

    /// The descriptor, close-on-exec: closed when nobody holds it any more.
    public let descriptor: SharedDescriptor
    /// `FileDescriptorName=` of the socket unit (by default the unit's name, `iommud.socket`), or the `FDNAME=` it was
    /// stored under; `"unknown"` or `"stored"` where systemd was given none.
    public let name: String
    /// What it is.
    public let kind: Kind

    /// Takes the descriptors passed to this process, in their order, and marks them close-on-exec.
    ///
    /// - Parameter unsetEnvironment: remove `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, so that a second call and
    ///   children see nothing.
    /// - Returns: none if this process was started otherwise (also where `LISTEN_PID` is another process).
    /// - Throws: the errno for malformed variables or a descriptor that is not open.
    public static func take(unsetEnvironment: Bool = true) throws(SystemError) -> [PassedDescriptor] {
        var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(unsetEnvironment ? 1 : 0, &list)
        try SystemError.check(count, "take the descriptors passed by the service manager")
        let names = Self.consume(list, count: Int(count))
        return names.enumerated().map { index, name in
            let number = Self.first + CInt(index)
            let descriptor = SharedDescriptor(Descriptor(adopting: number))
            return PassedDescriptor(descriptor: descriptor, name: name, kind: kind(of: number))
        }
    }

    /// Says what a descriptor is.
    public static func kind(of descriptor: CInt) -> Kind {
        let stream = CInt(SOCK_STREAM.rawValue)
        if sd_is_socket(descriptor, AF_UNIX, stream, 1) > 0 { return .unixListener }
        if sd_is_socket(descriptor, AF_UNSPEC, 0, 1) > 0 { return .otherListener }
        if sd_is_socket(descriptor, AF_UNSPEC, 0, -1) > 0 { return .socket }
        return sd_is_fifo(descriptor, nil) > 0 ? .fifo : .other
    }

    /// SD_LISTEN_FDS_START: the number of the first passed descriptor.
    private static var first: CInt { 3 }

    /// Copies a string vector of libsystemd's and frees it.
    private static func consume(
        _ list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, count: Int
    ) -> [String] {
        guard let list else { return [String](repeating: "unknown", count: count) }
        defer { free(list) }
        return (0..<count).map { index in
            guard let name = list[index] else { return "unknown" }
            defer { free(name) }
            return String(cString: name)
        }
    }
}
