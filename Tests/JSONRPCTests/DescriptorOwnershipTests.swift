import CLinux
import Glibc
import Testing

@testable import JSONRPC

/// Which lines may take a descriptor: those that have a byte in the buffer it came with. The server runs only when it
/// is let, so that the kernel holds several messages when it reads.
@Suite struct DescriptorOwnershipTests {
    let bench: SocketBench
    let client: SocketClient

    init() throws {
        bench = try SocketBench()
        client = try bench.connect()
    }

    /// Sends a message, descriptors and all, in one piece, without letting the server run.
    private func message(_ text: String, _ witnesses: Witness...) {
        let sent = client.sendWithoutServer(Array(text.utf8), descriptors: witnesses.map(\.write))
        #expect(sent == text.utf8.count)
        for witness in witnesses { witness.closeWrite() }
    }

    private func take(_ id: Int) -> String { request(id, "fd.take") + "\n" }
    private func note(_ id: Int, _ text: String = "x") -> String {
        request(id, "note", #"{"text":"\#(text)"}"#) + "\n"
    }

    /// Expects these replies, in order: true for a result, false for EBADF.
    private func expect(_ outcomes: [Bool], sourceLocation: SourceLocation = #_sourceLocation) throws {
        for (index, isResult) in outcomes.enumerated() {
            let reply = try client.reply()
            #expect((reply["result"] != nil) == isResult, "reply \(index): \(reply)", sourceLocation: sourceLocation)
            if !isResult {
                #expect(reply["error"]?["code"] == .integer(-Int(EBADF)), sourceLocation: sourceLocation)
            }
        }
    }

    private func expectClosed(_ witnesses: Witness...) throws {
        try bench.pump { witnesses.allSatisfy(\.isAbandoned) }
        #expect(bench.connected[0].waitingDescriptors == 0)
    }

    @Test(arguments: [true, false])
    func whatARefusedRequestLeavesReachesNobody(isPipelined: Bool) throws {
        let (first, second) = (try Witness(), try Witness())
        message(request(1, "fd.take", #"{"number":"x"}"#) + "\n", first)
        if !isPipelined { try bench.pump { first.isAbandoned } }
        message(take(2), second)
        message(take(3))
        #expect(try client.reply()["error"]?["code"] == .integer(-32602))
        try expect([true, false])
        try expectClosed(first, second)
    }

    @Test func linesOfOneBufferTakeInTheirOrder() throws {
        let (first, second) = (try Witness(), try Witness())
        message(take(1) + note(2) + take(3) + take(4), first, second)
        try expect([true, true, true, false])
        try expectClosed(first, second)
    }

    /// Who has sent much without a descriptor, several lines at a time, is received without a look ahead.
    private func sendManyWithoutDescriptors() throws {
        for id in 0..<300 {
            message(note(id) + note(id))
            try expect([true, true])
        }
    }

    @Test(arguments: [0, 1, 7])
    func aLineOfItsOwnTakesAfterManyWithout(before: Int) throws {
        try sendManyWithoutDescriptors()
        let (first, second) = (try Witness(), try Witness())
        for id in 0..<before { message(note(id)) }
        message(take(100), first)
        message(take(101), second)
        message(take(102))
        try expect(Array(repeating: true, count: before) + [true, true, false])
        try expectClosed(first, second)
    }

    /// Nothing tells whether the first line came with the descriptor: it does not get it, and the last one does.
    @Test(arguments: [true, false])
    func aLineInFrontTakesNothingAfterManyWithout(isOneMessage: Bool) throws {
        try sendManyWithoutDescriptors()
        let (first, second, third) = (try Witness(), try Witness(), try Witness())
        if isOneMessage {
            message(take(1) + take(2), first)
        } else {
            message(take(1))
            message(take(2), first)
        }
        try expect([false, true])
        // From now on it is told.
        message(take(3) + take(4), second, third)
        try expect([true, true])
        try expectClosed(first, second, third)
    }

    /// The kernel puts bytes of earlier messages in front of those that a descriptor comes with.
    @Test(arguments: [0, 3], [1, 2, 40])
    func whatWasSentBeforeTakesNothing(exchanges: Int, before: Int) throws {
        for id in 0..<exchanges {
            message(note(id))
            try expect([true])
        }
        let witness = try Witness()
        for id in 0..<before { message(take(id)) }
        message(take(-1), witness)
        message(take(-2))
        try expect([Bool](repeating: false, count: before) + [true, false])
        try expectClosed(witness)
    }

    @Test func aLineOwnsWhatComesWithAnyOfItsBytes() throws {
        for cut in [1, 20, take(1).utf8.count - 1] {
            let witness = try Witness()
            let line = take(1)
            message(take(0) + line.prefix(cut))
            message(line.dropFirst(cut) + take(2), witness)
            try expect([false, true, false])
            try expectClosed(witness)
        }
    }

    @Test func theOldestOfALinesOwnIsTakenFirst() throws {
        let sent = try (0..<3).map { _ in try Witness() }
        let line = request(1, "fd.echo", #"{"count":2}"#) + "\n"
        message(String(line.prefix(9)), sent[0])
        message(String(line.dropFirst(9).prefix(9)), sent[1])
        message(line.dropFirst(18) + take(2), sent[2])
        #expect(try client.reply()["result"]?["fds"] == .integer(2))
        for (received, witness) in zip(client.descriptors, sent) {
            #expect(write(received, "x", 1) == 1)
            var byte: UInt8 = 0
            #expect(read(witness.read, &byte, 1) == 1)
        }
        try expect([true])
        client.close()
        try bench.pump { sent.allSatisfy(\.isAbandoned) }
    }

    @Test(arguments: ["\n", " \t\r\n", "\n\n", " "])
    func whiteSpaceCountsToTheRequestThatFollows(space: String) throws {
        let witness = try Witness()
        message(take(1))
        message(space, witness)
        message("\n")
        message(take(2))
        try expect([false, true])
        try expectClosed(witness)
    }

    @Test func whiteSpaceBehindALineCountsToTheNext() throws {
        let witness = try Witness()
        message(note(1) + " \n", witness)
        try expect([true])
        #expect(!witness.isAbandoned)
        message(note(2))
        try expect([true])
        try expectClosed(witness)
    }

    @Test func onlyTheBeginningOfALongMessageIsItsBuffer() throws {
        let lines = (0..<4000).map { note($0) }
        let long = Array((lines.joined() + take(-1)).utf8)
        #expect(long.count > 200_000)
        let witness = try Witness()
        try client.send(long, descriptors: [witness.write])
        witness.closeWrite()
        try expect([Bool](repeating: true, count: lines.count) + [false])
        try expectClosed(witness)
        // A line of that length begins in it.
        let batch = "[" + (0..<4000).map { request($0, "note", #"{"text":"x"}"#) }.joined(separator: ",") + ","
        let other = try Witness()
        try client.send(Array((batch + request(-1, "fd.take") + "]\n" + take(-2)).utf8), descriptors: [other.write])
        other.closeWrite()
        let replies = try client.reply().arrayValue ?? []
        #expect(replies.count == 4001)
        #expect(replies.last?["result"] == .object([]))
        try expect([false])
        try expectClosed(other)
    }

    @Test func aDescriptorWaitsForTheLastAnswerOfItsLines() throws {
        let (parked, batched) = (try Witness(), try Witness())
        message(request(1, "park") + "\n", parked)
        try bench.pump { bench.bench.parked.count == 1 }
        try bench.settle()
        #expect(!parked.isAbandoned)
        bench.bench.parked[0].reply()
        try expect([true])
        try expectClosed(parked)
        // Behind a call of the batch that waits, another still may.
        message("[" + request(2, "park") + "," + request(3, "fd.take") + "," + request(4, "fd.take") + "]\n", batched)
        try bench.pump { bench.bench.parked.count == 2 }
        try bench.settle()
        #expect(!batched.isAbandoned)
        bench.bench.parked[1].reply()
        let replies = try client.reply()
        #expect(replies[1]?["result"] == .object([]))
        #expect(replies[2]?["error"]?["code"] == .integer(-Int(EBADF)))
        try expectClosed(batched)
    }

    @Test(arguments: ["{", "[]", "7", #"{"jsonrpc":"2.0","method":"fd.take"}"#, #"{"jsonrpc":"2.0","method":"?"}"#])
    func whateverALineIsItsDescriptorsEndWithIt(line: String) throws {
        let witness = try Witness()
        message(line + "\n", witness)
        message(take(1))
        var reply = try client.reply()
        if reply["id"] == .null { reply = try client.reply() }
        #expect(reply["error"]?["code"] == .integer(-Int(EBADF)))
        try expectClosed(witness)
    }

    @Test func descriptorsForOneLineAreBoundedOverItsMessages() throws {
        let sent = try (0..<20).map { _ in try Witness() }
        let line = Array((request(1, "fd.echo", #"{"count":16}"#) + "\n").utf8)
        for (index, witness) in sent.enumerated() {
            try client.send([line[index]], descriptors: [witness.write])
            witness.closeWrite()
        }
        try bench.pump { sent[16...].allSatisfy(\.isAbandoned) }
        try client.send(Array(line[sent.count...]))
        var replies = [try client.reply(), try client.reply()]
        while replies.last?["id"] == .null { replies.append(try client.reply()) }
        #expect(replies.dropLast().allSatisfy { $0["error"]?["code"] == .integer(-Int(EMFILE)) })
        #expect(replies.last?["result"]?["fds"] == .integer(16))
    }
}
