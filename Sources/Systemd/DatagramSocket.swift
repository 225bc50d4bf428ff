import CSystemd
import Glibc
import LinuxIO
import Synchronization

/// A Unix datagram socket that never waits: a message for which the other side has no room is not sent.
struct DatagramSocket: ~Copyable {
    private let descriptor: Descriptor

    /// Not connected to anybody.
    init() throws(SystemError) {
        let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        descriptor = try Descriptor(opened: number < 0 ? -errno : number, "socket")
    }

    /// Sends one message.
    ///
    /// - Parameters:
    ///   - address: a path, or `@` and an abstract name.
    ///   - descriptors: travel with it, at most ``DescriptorStore/descriptorsPerMessage``; they stay open here.
    /// - Throws: `EAGAIN` where the other side is behind, `EINVAL` for an address that is none, else what sendto(2)
    ///   says.
    func send(_ message: [UInt8], to address: String, descriptors: [CInt] = []) throws(SystemError) {
        var name = Array(address.utf8)
        var target = sockaddr_un()
        target.sun_family = sa_family_t(AF_UNIX)
        let isAbstract = name.first == UInt8(ascii: "@")
        guard name.count > 1, isAbstract || name[0] == UInt8(ascii: "/"),
            name.count < MemoryLayout.size(ofValue: target.sun_path)
        else { throw SystemError(errno: EINVAL, "use the address “\(address)”") }
        if isAbstract { name[0] = 0 }
        withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: name) }
        // The name of an abstract socket is all its bytes; a path ends at its zero.
        let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)
        let sent = withUnsafeMutablePointer(to: &target) { target in
            send(message, to: UnsafeMutableRawPointer(target), socklen_t(length), Self.rights(descriptors))
        }
        guard sent >= 0 else { throw SystemError(errno: -Int32(sent), "sendmsg") }
    }

    /// - Returns: bytes, or a negative errno.
    private func send(
        _ message: [UInt8], to target: UnsafeMutableRawPointer, _ length: socklen_t, _ rights: [UInt64]
    ) -> Int {
        var (message, rights) = (message, rights)
        return message.withUnsafeMutableBytes { bytes in
            rights.withUnsafeMutableBytes { control in
                var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var header = msghdr()
                    (header.msg_name, header.msg_namelen) = (target, length)
                    (header.msg_iov, header.msg_iovlen) = (part, 1)
                    if !control.isEmpty {
                        (header.msg_control, header.msg_controllen) = (control.baseAddress, control.count)
                    }
                    let sent = sendmsg(
                        descriptor.number, &header, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                    return sent < 0 ? -Int(errno) : sent
                }
            }
        }
    }

    /// A control message with descriptors (SCM_RIGHTS), as cmsg(3) lays it out on 64-bit systems: its length in 8
    /// bytes, level and type in 4 each, then the descriptors.
    private static func rights(_ descriptors: [CInt]) -> [UInt64] {
        guard !descriptors.isEmpty else { return [] }
        var words = [UInt64](repeating: 0, count: 2 + (descriptors.count + 1) / 2)
        words[0] = UInt64(16 + 4 * descriptors.count)
        words.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            // SCM_RIGHTS
            bytes.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)
            for (index, number) in descriptors.enumerated() {
                bytes.storeBytes(of: number, toByteOffset: 16 + 4 * index, as: Int32.self)
            }
        }
        return words
    }
}

/// Log entries for which whoever takes them had no room.
public enum LeftOutEntries {
    private static let counter = Atomic<UInt64>(0)

    /// How many, since the process started.
    public static var count: UInt64 { counter.load(ordering: .relaxed) }

    static func add() { counter.add(1, ordering: .relaxed) }
}
