import Foundation
import Testing

@testable import Systemd

/// The receiving end of `$NOTIFY_SOCKET`, as PID 1 holds it: a Unix datagram socket.
final class FakeServiceManager: @unchecked Sendable {  // immutable after init; the kernel serialises the socket
    /// One datagram and the descriptors that came with it, which the receiver owns.
    struct Message {
        var text: String
        var descriptors: [CInt]
    }

    let address: String
    private let socket: CInt

    /// Binds to an address in the abstract namespace or, with `path`, in the file system, and sets `$NOTIFY_SOCKET`.
    init(path: String? = nil) throws {
        let socket = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        try #require(socket >= 0)
        let name = path ?? "@iommud-notify-test-\(getpid())"
        var bytes = Array(name.utf8)
        if path == nil { bytes[0] = 0 }
        var unixAddress = sockaddr_un()
        unixAddress.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: unixAddress.sun_path)
        try #require(bytes.count < capacity)
        withUnsafeMutableBytes(of: &unixAddress.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let bound = withUnsafePointer(to: &unixAddress) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) }
        }
        try #require(bound == 0)
        self.socket = socket
        address = name
        setenv("NOTIFY_SOCKET", name, 1)
    }

    deinit { close(socket) }

    /// The next message; one that was sent is there already, so a missing one fails at once.
    func receive(waiting: Bool = false) throws -> Message {
        var bytes = [UInt8](repeating: 0, count: 65536)
        var control = [UInt64](repeating: 0, count: 256)
        let (count, controlLength, flags) = bytes.withUnsafeMutableBytes { data in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var header = msghdr()
                    header.msg_iov = vector
                    header.msg_iovlen = 1
                    header.msg_control = control.baseAddress
                    header.msg_controllen = control.count
                    let wait = waiting ? 0 : CInt(MSG_DONTWAIT)
                    let count = recvmsg(socket, &header, wait | CInt(MSG_CMSG_CLOEXEC))
                    return (count, header.msg_controllen, header.msg_flags)
                }
            }
        }
        try #require(count >= 0, "no message: errno \(errno)")
        try #require(flags & CInt(MSG_CTRUNC) == 0)
        let descriptors = control.withUnsafeBytes { Self.rights($0.prefix(Int(controlLength))) }
        return Message(text: String(decoding: bytes.prefix(count), as: UTF8.self), descriptors: descriptors)
    }

    /// The descriptors of one SCM_RIGHTS control message; credentials, which libsystemd may add, are skipped.
    private static func rights(_ control: Slice<UnsafeRawBufferPointer>) -> [CInt] {
        var descriptors: [CInt] = []
        var rest = UnsafeRawBufferPointer(rebasing: control)
        while rest.count >= 16 {
            let length = Int(rest.load(as: UInt64.self))
            guard length >= 16, length <= rest.count else { break }
            let isRights = rest.load(fromByteOffset: 12, as: CInt.self) == 1
            for offset in stride(from: 16, to: length, by: 4) where isRights {
                descriptors.append(rest.load(fromByteOffset: offset, as: CInt.self))
            }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(min(rest.count, (length + 7) & ~7)))
        }
        return descriptors
    }
}

/// Whether two descriptors are the same file.
func isSameFile(_ left: CInt, _ right: CInt) -> Bool {
    var first = stat()
    var second = stat()
    guard fstat(left, &first) == 0, fstat(right, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
}
