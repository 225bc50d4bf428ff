import CLinux
import Glibc
import LinuxIO

/// The receiving side of a connected Unix stream socket: tells exactly which bytes descriptors came with.
///
/// The kernel keeps what is sent in buffers, one for a message of up to 32 KiB; a longer message has its descriptors in
/// the first of several. Receiving runs over any number of buffers and stops behind the first with descriptors, so that
/// bytes sent before, in messages of their own, stand in front of those that the descriptors came with. Once they are
/// received nobody can tell them apart. A peek that has no room for descriptors stops at the same place and says that
/// there are some, without making any.
///
/// So that no descriptor, not even the first of a connection, is received before its buffer is found, and a client that
/// sends none pays for nothing: every read *is* a peek, from where the last one ended (SO_PEEK_OFF), and what has been
/// read so is thrown away in one piece now and then. Only a read that meets descriptors goes back: it receives the
/// whole buffers in front of theirs, and then theirs by itself.
struct SocketInput {
    /// What a read brought.
    enum Reading {
        case bytes(Int, isMoreLikely: Bool)
        /// Nothing is there now.
        case nothing
        /// The peer sends no more.
        case end
        case failure
    }

    /// Its link closes it.
    private let socket: Int32
    /// Whether a peek can go on where the last one ended.
    private let hasOffset: Bool
    /// Bytes that have been read and are still at the front of what the kernel keeps.
    private var kept = 0
    private var keptReads = 0

    /// What is kept takes room that the client's sends wait for: once its socket is full, it is woken when three
    /// quarters are free, and each small buffer takes ten times its bytes.
    private static let maximumKept = 2 << 10
    /// A peek walks over what is kept: with many clients each piece of it has left the nearest cache by then.
    private static let maximumKeptReads = 4
    /// What is thrown away by one call.
    private static let maximumWaste = 64 << 10

    init(_ socket: Int32) {
        self.socket = socket
        hasOffset = clinux_set_peek_offset(socket, 0) == 0
    }

    /// Whether something is kept that ``discard()`` would give back.
    var isKeeping: Bool { kept > 0 }

    /// Reads bytes, and hands the descriptors that came with them to the connection.
    ///
    /// - Parameters:
    ///   - size: at least 64 KiB, so that a whole buffer fits.
    ///   - waiting: bytes of the connection's input that are not yet done with, and stand before those read.
    mutating func read(
        into buffer: UnsafeMutablePointer<UInt8>, _ size: Int, behind waiting: Int, for connection: Connection
    ) -> Reading {
        var hasDescriptors = false
        let peeked = clinux_peek(socket, buffer, size, &hasDescriptors)
        guard peeked > 0 else {
            if peeked == 0 { return .end }
            return peeked == -Int(EAGAIN) ? .nothing : .failure
        }
        guard !hasDescriptors else {
            discard()
            if hasOffset { _ = clinux_set_peek_offset(socket, 0) }
            let before = clinux_receive_whole(socket, buffer, peeked)
            if before > 0 { return .bytes(before, isMoreLikely: true) }
            guard before == -Int(EFAULT) else { return .failure }
            return receiveFirst(into: buffer, size, behind: waiting, for: connection)
        }
        kept &+= peeked
        keptReads &+= 1
        if keptReads >= Self.maximumKeptReads || kept >= Self.maximumKept || !hasOffset { discard() }
        return .bytes(peeked, isMoreLikely: peeked == size)
    }

    /// Gives back what is kept: a client is not to wait for room that nobody needs.
    mutating func discard() {
        guard kept > 0 else { return }
        let limit = min(kept, Self.maximumWaste)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: limit) { waste in
            while kept > 0 {
                let count = recv(socket, waste.baseAddress, min(kept, limit), Int32(MSG_DONTWAIT))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                kept -= count
            }
        }
        kept = 0
        keptReads = 0
    }

    /// Receives the buffer at the front with its descriptors; the kernel stops behind it.
    private func receiveFirst(
        into buffer: UnsafeMutablePointer<UInt8>, _ size: Int, behind waiting: Int, for connection: Connection
    ) -> Reading {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLINUX_SCM_MAX_FD)) { descriptors in
            var ancillary = clinux_ancillary()
            let count = clinux_receive(socket, buffer, size, descriptors.baseAddress, &ancillary)
            for number in descriptors.prefix(Int(ancillary.fd_count)) {
                connection.receive(Descriptor(adopting: number), with: waiting..<waiting + max(0, count))
            }
            if ancillary.truncated { connection.areDescriptorsLost = true }
            return count > 0 ? .bytes(count, isMoreLikely: true) : .failure
        }
    }
}
