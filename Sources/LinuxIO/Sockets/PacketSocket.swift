import CLinux
import Glibc

/// One end of a connection between two processes that keeps messages apart and carries descriptors (SOCK_SEQPACKET).
public struct PacketSocket: ~Copyable, Sendable {
    /// What it is, to be watched.
    public let descriptor: Descriptor

    /// Takes over an open socket.
    public init(adopting descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// One end of a new connection, which never waits.
    ///
    /// - Parameter other: becomes the other end, which does.
    public init(pairedWith other: inout Descriptor?) throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try SystemError.check(clinux_packet_pair(&ends), "socketpair")
        descriptor = Descriptor(adopting: ends[0])
        other = Descriptor(adopting: ends[1])
    }

    /// Sends one message; the other side gets descriptors of its own.
    public func send(_ bytes: [UInt8], with descriptors: [Int32] = []) throws(SystemError) {
        let sent = bytes.withUnsafeBytes { bytes in
            clinux_send(descriptor.number, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count))
        }
        guard sent == bytes.count else { throw SystemError(errno: sent < 0 ? Int32(-sent) : EMSGSIZE, "send") }
    }

    /// The next message; nil once the other side is gone.
    ///
    /// - Parameter size: bytes of the longest message.
    /// - Throws: `EAGAIN` if there is none and it never waits; `EMSGSIZE` for a longer one, which is lost.
    public func receive(atMost size: Int) throws(SystemError) -> Packet? {
        var numbers = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
        var ancillary = clinux_ancillary()
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size + 1) { buffer, initialized in
            count = clinux_receive(descriptor.number, buffer.baseAddress, size + 1, &numbers, &ancillary)
            initialized = max(0, count)
        }
        guard count >= 0 else { throw SystemError(errno: Int32(-count), "recvmsg") }
        let packet = Packet(
            bytes: bytes, numbers: Array(numbers.prefix(Int(ancillary.fd_count))),
            hasLostDescriptors: ancillary.truncated)
        guard count <= size else { throw SystemError(errno: EMSGSIZE, "recvmsg") }
        guard count > 0 else { return nil }
        return consume packet
    }
}

/// A message, and the descriptors that came with it: those that nobody takes are closed.
public struct Packet: ~Copyable {
    /// What it says.
    public let bytes: [UInt8]
    private var numbers: [Int32]
    /// There was no room for all descriptors that came.
    public let hasLostDescriptors: Bool

    fileprivate init(bytes: [UInt8], numbers: [Int32], hasLostDescriptors: Bool) {
        (self.bytes, self.numbers, self.hasLostDescriptors) = (bytes, numbers, hasLostDescriptors)
    }

    deinit { for number in numbers { _ = close(number) } }

    /// Descriptors that nobody has taken.
    public var descriptorCount: Int { numbers.count }

    /// The next descriptor; nil if there is none left.
    public mutating func takeDescriptor() -> Descriptor? {
        numbers.isEmpty ? nil : Descriptor(adopting: numbers.removeFirst())
    }
}
