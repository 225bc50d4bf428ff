import Foundation
import JSONRPC
import TestSupport
import Testing

/// The daemon is killed and started again, by a service manager that keeps its descriptors.
@Suite(.serialized) struct DaemonRestartTests {
    private let map = #"{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}"#

    @Test func aKilledDaemonGoesOnWhereItWas() throws {
        let manager = try KeepingManager()
        let memory = try SharedMemory(size: 65_536)
        var process = try manager.start()
        var client = try manager.connect()
        let first = try client.call("daemon.info")
        #expect(first["durable"]?.stringValue == "full")
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        _ = try client.importMemory(memory)
        for request in [
            ("ioas.alloc", "{}"), ("ioas.map", map), ("device.bind", #"{"name":"0000:01:00.0"}"#),
            ("device.attach", #"{"device":2,"pt":1}"#),
        ] { _ = try client.call(request.0, request.1) }
        let objects = try client.call("session.objects")
        // However it ends.
        for signal in [SIGKILL, SIGTERM, SIGKILL] {
            process.signal(signal)
            process.wait()
            #expect(manager.stored == 1)
            process = try manager.start()
            client = try manager.connect()
            _ = try client.call("session.attach", #"{"name":"vm","create":false}"#)
            #expect(try client.call("session.objects") == objects)
            memory.setWord(0, 0)
            _ = try client.call("dma.write", #"{"device":2,"iova":"0x10000","data":"aGVsbG8="}"#)
            #expect(memory.text(0, 5) == "hello")
        }
        let last = try client.call("daemon.info")
        #expect(last["generation"] == first["generation"] && last["starts"]?.intValue == 4)
    }

    /// Mappings as fast as they go, and the end at some instant of it.
    @Test func noMappingThatWasAnsweredIsLost() throws {
        let manager = try KeepingManager()
        var process = try manager.start()
        var client = try manager.connect()
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        _ = try client.call("memory.create", #"{"size":4096}"#)
        _ = try client.call("ioas.alloc")
        var next = 1
        let rounds = ProcessInfo.processInfo.environment["IOMMUD_KILLS"].flatMap { Int($0) } ?? 8
        var random = SeededGenerator(seed: 11)
        for round in 0..<rounds {
            let first = next
            // The daemon is at work on what is under way when it ends.
            let last = first + random.next(below: 400)
            // Eight are always under way.
            var answered = first
            do {
                while true {
                    while next < answered + 8 {
                        let params = #"{"ioas":1,"memory":1,"length":4096,"iova":\#(next << 13)}"#
                        try client.send(
                            line:
                                #"{"jsonrpc":"2.0","id":1,"method":"ioas.map","params":\#(params)}"#
                        )
                        next += 1
                    }
                    guard let line = try client.receiveLine() else { break }
                    guard try JSONValue(parsing: line)["result"] != nil else { throw Unexpected("refused") }
                    answered += 1
                    if answered == last { process.signal(SIGKILL) }
                }
            } catch let error as Unexpected { throw error } catch {}
            process.wait()
            process = try manager.start()
            client = try manager.connect()
            _ = try client.call("session.attach", #"{"name":"vm","create":false}"#)
            let there = try mappings(client)
            let sent = Set((1..<next).map { $0 << 13 })
            #expect(there.isSubset(of: sent), "round \(round): something was invented")
            let lost = (first..<answered).filter { !there.contains($0 << 13) }
            #expect(lost.isEmpty, "round \(round): of \(answered - first) mappings \(lost.count) are lost")
            // What was under way is there as far as it got, and not with holes.
            let later = (answered..<next).map { there.contains($0 << 13) }
            #expect(later == later.sorted { $0 && !$1 }, "round \(round)")
        }
    }

    private func mappings(_ client: RPCClient) throws -> Set<Int> {
        var found: Set<Int> = []
        var start = "0x0"
        while true {
            let page = try client.call("ioas.mappings", #"{"ioas":1,"start":"\#(start)"}"#)
            for mapping in page["mappings"]?.arrayValue ?? [] {
                found.insert(Int(mapping["iova"]?.stringValue?.dropFirst(2) ?? "", radix: 16) ?? 0)
            }
            guard let next = page["next"]?.stringValue else { return found }
            start = next
        }
    }

    @Test func aDamagedJournalKeepsTheDaemonUpAndClosed() throws {
        let manager = try KeepingManager()
        var process = try manager.start()
        let client = try manager.connect()
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        _ = try client.importMemory(try SharedMemory(size: 4096))
        process.kill()
        var content = try Data(contentsOf: URL(fileURLWithPath: manager.journal))
        content[content.count / 2] ^= 1
        try content.write(to: URL(fileURLWithPath: manager.journal))
        process = try manager.start()
        #expect(try manager.wait(for: "STATUS=").contains("closed: the journal is damaged at byte"))
        try manager.connect().expect(EIO, "state_corrupt", "session.list")
        #expect(manager.stored == 1)
        let discard = try ChildProcess(BuiltProgram.iommuctl, ["state", "discard", "--socket", manager.socketPath])
        #expect(discard.wait() == 0, "\(discard.text)")
        #expect(try manager.connect().call("session.list")["sessions"]?.arrayValue?.count == 1)
        #expect(manager.stored == 0)
    }

    @Test func theStateCanBeGivenUpByHand() throws {
        let manager = try KeepingManager()
        let process = try manager.start()
        let client = try manager.connect()
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        let generation = try client.call("daemon.info")["generation"]
        process.kill()
        let arguments = ["--discard-state", "--state", manager.directory + "/state"]
        let discard = try ChildProcess(BuiltProgram.iommud, arguments + ["--config", BuiltProgram.laboratory])
        #expect(discard.wait() == 0, "\(discard.text)")
        let next = try manager.start()
        let info = try manager.connect().call("daemon.info")
        #expect(info["generation"] != generation && info["starts"]?.intValue == 1)
        // Not while a daemon has it.
        let busy = try ChildProcess(BuiltProgram.iommud, arguments + ["--config", BuiltProgram.laboratory])
        #expect(busy.wait() == 1)
        next.kill()
    }

    @Test func aBrokenConfigurationDoesNotEndADaemonThatHasDescriptors() throws {
        let manager = try KeepingManager()
        let file = manager.directory + "/iommud.toml"
        try FileManager.default.copyItem(atPath: BuiltProgram.laboratory, toPath: file)
        var process = try manager.start(configuration: file)
        let client = try manager.connect()
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        _ = try client.importMemory(try SharedMemory(size: 4096))
        process.kill()
        try "[limits\n".write(toFile: file, atomically: false, encoding: .utf8)
        process = try manager.start(configuration: file)
        #expect(process.text.contains("iommud.toml:1"))
        let again = try manager.connect()
        let attached = try again.call("session.attach", #"{"name":"vm","create":false}"#)
        #expect(attached["session"]?["objects"]?.intValue == 1)
        // Without anything to lose it ends, as always.
        _ = try again.call("session.close")
        process.kill()
        let bare = try ChildProcess(BuiltProgram.iommud, ["--config", file, "--socket", manager.directory + "/s"])
        #expect(bare.wait() == 78)
    }
}
