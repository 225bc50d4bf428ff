import CLinux
import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// Descriptors on the way in, waiting, and on the way out; none may be left open.
@Suite struct DescriptorTests {
    let bench: SocketBench

    init() throws { bench = try SocketBench() }

    private func witnesses(_ count: Int) throws -> [Witness] { try (0..<count).map { _ in try Witness() } }

    private func abandon(_ witnesses: [Witness]) { for witness in witnesses { witness.closeWrite() } }

    @Test func handsDescriptorsOverInOrder() throws {
        let client = try bench.connect()
        let sent = try witnesses(3)
        try client.send(request(1, "fd.echo", #"{"count":3}"#), descriptors: sent.map(\.write))
        #expect(try client.reply()["result"]?["fds"] == .integer(3))
        #expect(client.descriptors.count == 3)
        for (witness, received) in zip(sent, client.descriptors) {
            #expect(write(received, "x", 1) == 1)
            var byte: UInt8 = 0
            #expect(read(witness.read, &byte, 1) == 1)
            #expect(fcntl(received, F_GETFD) & FD_CLOEXEC != 0)
        }
        abandon(sent)
        client.close()
        try bench.pump { sent.allSatisfy(\.isAbandoned) }
    }

    @Test func refusesACallWithoutItsDescriptor() throws {
        let client = try bench.connect()
        try client.send(request(1, "fd.take"))
        let error = try client.reply()["error"]
        #expect(error?["code"] == .integer(-9))
        #expect(error?["data"]?["errno"] == .string("EBADF"))
    }

    @Test func closesThe17thWaitingDescriptorAtOnce() throws {
        let client = try bench.connect()
        let sent = try witnesses(19)
        // Without its end the request is not there yet, and the descriptors wait.
        try client.send(Array(request(1, "note", #"{"text":"x"}"#).utf8), descriptors: sent.map(\.write))
        abandon(sent)
        try bench.pump { sent[16...].allSatisfy(\.isAbandoned) }
        #expect(sent[..<16].allSatisfy { !$0.isAbandoned })
        #expect(bench.connected[0].waitingDescriptors == 16)
        try client.send([UInt8(ascii: "\n")])
        let refusal = try client.reply()
        #expect(refusal["id"] == .null)
        #expect(refusal["error"]?["data"]?["errno"] == .string("EMFILE"))
        #expect(try client.reply()["id"] == .integer(1))
        try bench.pump { sent.allSatisfy(\.isAbandoned) }
    }

    @Test func receivesAsManyAsTheKernelCarries() throws {
        let client = try bench.connect()
        let witness = try Witness()
        let count = Int(CLINUX_SCM_MAX_FD)
        let copies = [Int32](repeating: witness.write, count: count)
        try client.send(request(1, "fd.echo", #"{"count":16}"#), descriptors: copies)
        #expect(try client.reply()["error"]?["data"]?["errno"] == .string("EMFILE"))
        #expect(try client.reply()["result"]?["fds"] == .integer(16))
        #expect(client.descriptors.count == 16)
        witness.closeWrite()
        client.close()
        try bench.pump { witness.isAbandoned }
    }

    @Test func attachesDescriptorsToExactlyTheirReply() throws {
        let client = try bench.connect()
        let sent = try witnesses(2)
        let lines = [
            request(1, "note", #"{"text":"a"}"#), request(2, "fd.echo"), request(3, "note", #"{"text":"b"}"#),
            request(4, "fd.echo"), request(5, "note", #"{"text":"c"}"#),
        ]
        try client.send(lines.joined(separator: "\n"), descriptors: sent.map(\.write))
        try bench.pump { bench.bench.calls == ["a", "b", "c"] }
        try bench.settle()
        // Each read stops after the bytes that carry descriptors.
        var pieces: [(text: String, descriptors: Int)] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var fds = [Int32](repeating: -1, count: 253)
        while true {
            var ancillary = clinux_ancillary()
            let count = clinux_receive(client.socket, &buffer, buffer.count, &fds, &ancillary)
            guard count > 0 else { break }
            for index in 0..<Int(ancillary.fd_count) { _ = close(fds[index]) }
            pieces.append((String(decoding: buffer.prefix(count), as: UTF8.self), Int(ancillary.fd_count)))
        }
        let carrying = pieces.filter { $0.descriptors > 0 }
        #expect(carrying.map(\.descriptors) == [1, 1])
        for (piece, id) in zip(carrying, [2, 4]) {
            #expect(piece.text.hasSuffix("\"id\":\(id),\"result\":{\"fds\":1}}\n"))
        }
    }

    @Test func leavesNothingOpenAfterEveryKindOfEnd() throws {
        let sent = try witnesses(12)
        // Waiting in the queue; parked with one attached; refused; unsent because the client does not read.
        let idle = try bench.connect()
        try idle.send(request(1, "note", #"{"text":"q"}"#), descriptors: sent[0..<4].map(\.write))
        let parking = try bench.connect()
        try parking.send(request(1, "park"), descriptors: sent[4..<6].map(\.write))
        let refused = try bench.connect()
        try refused.send(request(1, "fd.echo", #"{"count":5}"#), descriptors: sent[6..<8].map(\.write))
        let unsent = try bench.connect()
        try unsent.send(
            request(1, "blob", #"{"bytes":6000000}"#) + "\n" + request(2, "fd.echo", #"{"count":4}"#),
            descriptors: sent[8..<12].map(\.write))
        try bench.pump { bench.bench.parked.count == 1 }
        try bench.settle()
        try bench.bench.parked[0].attach(Descriptor(adopting: dup(sent[4].write)))
        abandon(sent)
        for client in [idle, parking, refused, unsent] { client.close() }
        try bench.pump { bench.ended.count == 4 && sent.allSatisfy(\.isAbandoned) }
    }

    @Test func closesTheDescriptorsOfAWithdrawnReply() throws {
        let client = try bench.connect()
        let sent = try witnesses(1)
        try client.send(request(1, "change.mind"), descriptors: sent.map(\.write))
        abandon(sent)
        #expect(try client.reply()["error"]?["code"] == .integer(-5))
        #expect(client.descriptors.isEmpty)
        try bench.pump { sent[0].isAbandoned }
    }

    @Test func limitsWhatIsUnsentToOneClient() throws {
        let client = try bench.connect()
        let witness = try Witness()
        // Replies fill the socket, until one stays behind: nothing is sent from then on until the client reads.
        var filling = 0
        while bench.connected[0].outbox.pointee.pending == 0 {
            try client.send(request(filling, "blob", #"{"bytes":3000}"#))
            filling += 1
            try bench.settle()
        }
        for (id, count) in [(-1, 10), (-2, 7), (-3, 6), (-4, 1)] {
            let copies = [Int32](repeating: witness.write, count: count)
            try client.send(request(id, "fd.echo", #"{"count":\#(count)}"#), descriptors: copies)
        }
        try bench.settle()
        // What would go beyond the limit by itself is refused; what comes when it is reached waits.
        #expect(bench.connected[0].outbox.pointee.attachments.map(\.descriptors.count) == [10, 6])
        for id in 0..<filling { #expect(try client.reply()["id"] == .integer(id)) }
        #expect(try client.reply()["result"]?["fds"] == .integer(10))
        let refusal = try client.reply()
        #expect(refusal["id"] == .integer(-2))
        #expect(refusal["error"]?["code"] == .integer(-Int(EMFILE)))
        #expect(refusal["error"]?["data"]?["reason"] == .string("descriptors_unsent"))
        for count in [6, 1] { #expect(try client.reply()["result"]?["fds"] == .integer(count)) }
        #expect(client.descriptors.count == 17)
        // Once they are read there is room again.
        try client.send(request(1, "fd.echo"), descriptors: [witness.write])
        #expect(try client.reply()["result"]?["fds"] == .integer(1))
        witness.closeWrite()
        client.close()
        try bench.pump { witness.isAbandoned }
    }
}
