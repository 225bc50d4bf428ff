import Foundation
import JSONRPC
import TestSupport
import Testing

/// Clients that are hostile or clumsy cost the daemon nothing that stays, and others nothing at all.
struct HostileClientTests {
    private let daemon: RunningDaemon
    private let watcher: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        watcher = try daemon.connect()
        try watcher.call("daemon.info", "{}")
    }

    /// Requests that do something, each on what those before have made.
    private static let requests = [
        #"{"jsonrpc":"2.0","id":1,"method":"memory.create","params":{"size":"0x10000"}}"#,
        #"{"jsonrpc":"2.0","id":2,"method":"memory.import"}"#,
        #"{"jsonrpc":"2.0","id":3,"method":"ioas.alloc","params":{}}"#,
        #"{"jsonrpc":"2.0","id":4,"method":"device.bind","params":{"name":"0000:03:00.0"}}"#,
        #"{"jsonrpc":"2.0","id":5,"method":"device.attach","params":{"device":2,"pt":1}}"#,
        #"{"jsonrpc":"2.0","id":6,"method":"ioas.map","params":{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}}"#,
        #"{"jsonrpc":"2.0","id":7,"method":"dma.write","params":{"device":2,"iova":"0x10000","data":"AAECAwQFBgc="}}"#,
        #"{"jsonrpc":"2.0","id":8,"method":"ioas.check","params":{"devices":[2],"mappings":[{"iova":0,"length":1}]}}"#,
        #"{"jsonrpc":"2.0","id":9,"method":"vsmmu.create","params":{"idr":{"IDR1":"0x1ce4210"}}}"#,
        #"[{"jsonrpc":"2.0","id":10,"method":"memory.export","params":{"memory":1}},{"jsonrpc":"2.0","method":"x"}]"#,
        #"{"jsonrpc":"2.0","id":11,"method":"events.subscribe","params":{"kinds":["device","fault"]}}"#,
        #"{"jsonrpc":"2.0","id":12,"method":"fault.read","params":{"fault":9,"max":64,"timeout_ms":1}}"#,
    ]

    private static let insertions = [
        "\n", "\"", "{", "[[[[", "\\u", "\\ud800", "1e999", ",", "99999999999999999999999999", "\u{0}", "\r", "null",
        "-",
    ]

    private func mutated(_ line: String, _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = Array(line.utf8)
        for _ in 0..<Int.random(in: 0...3, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes.removeSubrange(place..<min(place + 7, bytes.count))
            case 2:
                bytes.insert(
                    contentsOf: Array((Self.insertions.randomElement(using: &generator) ?? "").utf8), at: place)
            default: bytes.insert(contentsOf: Array(bytes[max(0, place - 20)..<place]), at: place)
            }
        }
        return bytes + [UInt8(ascii: "\n")]
    }

    /// One connection of such a client; it reads what comes until the end, or leaves without a word.
    private func misbehave(_ memory: SharedMemory, _ generator: inout SeededGenerator) throws {
        let client = try daemon.connect()
        for _ in 0..<Int.random(in: 1...30, using: &generator) {
            let line = Self.requests.randomElement(using: &generator) ?? ""
            let count = [0, 0, 0, 1, 2, 17, 253].randomElement(using: &generator) ?? 0
            let bytes = mutated(line, &generator)
            do {
                try client.send(
                    bytes: bytes, descriptors: [Int32](repeating: memory.descriptor, count: count))
            } catch { return }
        }
        guard Bool.random(using: &generator) else { return }
        client.finishSending()
        while try client.receiveLine() != nil {}
        _ = client.takeDescriptors()
    }

    private func waitUntilAlone() throws {
        while try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue != 1 {}
    }

    @Test(arguments: [1, 2, 3])
    func mutatedRequestsLeaveTheDaemonAsItWas(seed: UInt64) throws {
        let memory = try SharedMemory(size: 65536)
        var generator = SeededGenerator(seed: seed)
        let before = daemon.process.descriptorCount
        for _ in 0..<60 { try misbehave(memory, &generator) }
        try waitUntilAlone()
        #expect(daemon.process.descriptorCount == before)
        let gauges = try watcher.call("daemon.stats")["gauges"]
        #expect(gauges?["sessions"]?.intValue == 1)
        #expect(gauges?["mapped_bytes"]?.intValue == 0)
        #expect(!daemon.process.text.contains("unexpectedly"), "\(daemon.process.text)")
        #expect(daemon.stop() == 0)
    }

    /// Each line costs one error, however much it carries.
    @Test func aFloodOfDescriptorsReachesNobodyElse() throws {
        let memory = try SharedMemory(size: 4096)
        let other = try daemon.connect()
        _ = try other.call("daemon.info")
        let before = daemon.process.descriptorCount
        let flood = try daemon.connect()
        let copies = [Int32](repeating: memory.descriptor, count: 253)
        for _ in 0..<100 {
            try flood.send(bytes: [UInt8(ascii: "\n")], descriptors: copies)
            #expect(try other.call("daemon.info")["name"]?.stringValue == "iommud")
            #expect(daemon.process.descriptorCount <= before + 1 + 16 + 253)
        }
        try flood.send(line: #"{"jsonrpc":"2.0","id":1,"method":"memory.import"}"#)
        var reply = try JSONValue(parsing: try #require(try flood.receiveLine()))
        while reply["id"] == .null {
            #expect(reply["error"]?["code"]?.intValue == -Int(EMFILE))
            reply = try JSONValue(parsing: try #require(try flood.receiveLine()))
        }
        #expect(reply["result"]?["memory"]?.intValue == 1)
        // What nobody took went with the answer; the imported one and the connection stay.
        #expect(daemon.process.descriptorCount <= before + 3)
    }

    @Test func halvesOfConnectionsEndAsTheyShould() throws {
        // A client that only listens, one that only talks, one that leaves while its call waits.
        let fault = #"{"jsonrpc":"2.0","id":2,"method":"fault.read","params":{"fault":1,"timeout_ms":600000}}"#
        let deaf = try daemon.connect()
        try deaf.call("fault.alloc", "{}")
        try deaf.send(line: fault)
        shutdown(deaf.socket, CInt(0))
        let silent = try daemon.connect()
        silent.finishSending()
        #expect(try silent.receiveLine() == nil)
        do {
            let leaving = try daemon.connect()
            try leaving.call("fault.alloc", "{}")
            try leaving.send(line: fault)
        }
        while try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue != 2 {}
        deaf.finishSending()
        try waitUntilAlone()
    }
}
