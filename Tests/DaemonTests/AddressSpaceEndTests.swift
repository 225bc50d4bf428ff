import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// The end of an address space is noticed without anybody asking for it.
struct AddressSpaceEndTests {
    enum End: CaseIterable { case exit, exec }

    /// A process that ends its address space when it is told to.
    private final class Victim {
        let process: ChildProcess
        private let toVictim: Int32
        private let fromVictim: Int32

        init(_ end: End) throws {
            var (orders, news): ([Int32], [Int32]) = ([0, 0], [0, 0])
            try #require(pipe(&orders) == 0 && pipe(&news) == 0)
            for descriptor in orders + news { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
            let last = end == .exit ? "os._exit(0)" : "os.execv('/bin/sh', ['sh', '-c', 'echo >&4; exec cat <&3'])"
            process = try ChildProcess(
                "/usr/bin/python3",
                ["-Ic", "import os; os.write(4, b'u'); os.read(3, 1); \(last)"],
                descriptors: [orders[0], news[1]])
            (toVictim, fromVictim) = (orders[1], news[0])
            close(orders[0])
            close(news[1])
            var byte: UInt8 = 0
            try #require(read(fromVictim, &byte, 1) == 1)
        }

        deinit {
            close(toVictim)
            close(fromVictim)
        }

        /// On return the address space has no user any more.
        func end(_ end: End) throws {
            var byte: UInt8 = 0
            try #require(write(toVictim, &byte, 1) == 1)
            switch end {
            case .exit: process.wait()
            case .exec: try #require(read(fromVictim, &byte, 1) == 1, "the next program says so")
            }
        }
    }

    /// Nanoseconds
    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// What the daemon says next: the kind of an event, or nil for an answer.
    private func nextKind(_ client: RPCClient) throws -> String? {
        let line = try #require(try client.receiveLine())
        let message = try JSONValue(parsing: String(decoding: line, as: UTF8.self))
        return message["params"]?["kind"]?.stringValue
    }

    /// A daemon that answers a question which was asked a tenth of a second after the end has told of the end before
    /// the answer to the next one: however slow the machine is, the daemon has had its turn by then.
    @Test(arguments: End.allCases)
    func itIsToldWithinATenthOfASecond(end: End) throws {
        let daemon = try RunningDaemon()
        let client = try daemon.connect()
        let device = try client.id("device.bind", #"{"name":"uacce0"}"#, "device")
        _ = try client.call("events.subscribe", #"{"kinds":["mm_exit"]}"#)
        for round in 0..<8 {
            let victim = try Victim(end)
            let mm = try client.id("mm.open", #"{"pid":\#(victim.process.pid)}"#, "mm")
            // Bound or only open.
            if round % 2 == 0 { _ = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#) }
            try victim.end(end)
            let deadline = Self.now() + 100_000_000
            var (questionsAfterwards, isTold) = (0, false)
            while !isTold, questionsAfterwards < 2 {
                if Self.now() >= deadline { questionsAfterwards += 1 }
                try client.send(line: #"{"jsonrpc":"2.0","id":\#(round),"method":"daemon.info"}"#)
                while let kind = try nextKind(client) { isTold = isTold || kind == "mm_exit" }
            }
            #expect(isTold, "round \(round)")
        }
    }
}
