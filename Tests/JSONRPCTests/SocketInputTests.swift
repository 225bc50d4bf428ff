import CLinux
import Glibc
import TestSupport
import Testing

@testable import JSONRPC

/// Reading is looking; what has been read must not stay in the kernel.
@Suite struct SocketInputTests {
    let bench: SocketBench

    init() throws { bench = try SocketBench() }

    /// What the kernel keeps of what the client has sent (unix(7), SIOCOUTQ).
    private func kept(_ client: SocketClient) -> Int32 {
        var bytes: Int32 = -1
        #expect(ioctl(client.socket, UInt(TIOCOUTQ), &bytes) == 0)
        return bytes
    }

    @Test(arguments: [1, 5, 100])
    func whatIsReadIsGivenBack(requests: Int) throws {
        let client = try bench.connect()
        for id in 0..<requests {
            try client.send(request(id, "note", #"{"text":"x"}"#))
            #expect(try client.reply()["id"] == .integer(id))
        }
        try bench.pump { kept(client) == 0 }
        try client.send(request(-1, "note", #"{"text":"y"}"#))
        #expect(try client.reply()["id"] == .integer(-1))
    }

    @Test func aClientWithRoomForFewRequestsIsServed() throws {
        let client = try bench.connect()
        var room: Int32 = 1
        setsockopt(client.socket, SOL_SOCKET, SO_SNDBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        for id in 0..<200 {
            try client.send(request(id, "note", #"{"text":"x"}"#))
            #expect(try client.reply()["id"] == .integer(id))
        }
    }

    /// A socket closed on unread bytes ends with ECONNRESET instead.
    @Test func theEndComesAsAnEnd() throws {
        let client = try bench.connect()
        try client.send(request(1, "note", #"{"text":"x"}"#))
        client.finishSending()
        #expect(try client.reply()["id"] == .integer(1))
        var byte: UInt8 = 0
        try bench.pump {
            let count = read(client.socket, &byte, 1)
            guard count < 0 else { return count == 0 }
            #expect(errno == EAGAIN)
            return errno != EAGAIN
        }
    }

    @Test func manyLongAndShortMessagesKeepTheirOrder() throws {
        let client = try bench.connect()
        var generator = SeededGenerator(seed: 7)
        var bytes: [UInt8] = []
        for id in 0..<300 {
            let length = Int.random(in: 0...3, using: &generator) == 0 ? 20_000 : 10
            let text = String(repeating: "x", count: Int.random(in: 0...length, using: &generator))
            bytes += Array((request(id, "note", #"{"text":"\#(text)"}"#) + "\n").utf8)
        }
        let witness = try Witness()
        var sent = 0
        while sent < bytes.count {
            let count = min(Int.random(in: 1...50_000, using: &generator), bytes.count - sent)
            let descriptors = Bool.random(using: &generator) ? [witness.write] : []
            try client.send(Array(bytes[sent..<sent + count]), descriptors: descriptors)
            sent += count
        }
        witness.closeWrite()
        for id in 0..<300 { #expect(try client.reply()["id"] == .integer(id)) }
        try bench.pump { witness.isAbandoned && kept(client) == 0 }
    }
}
