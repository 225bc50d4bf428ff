import Glibc
import IOMMU
import TestSupport
import Testing

/// Names of sessions, and what bounds them.
struct SessionMethodTests {
    @Test func namesFollowTheRules() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        for name in ["", "a b", "ä", String(repeating: "x", count: 65)] {
            try client.expect(EINVAL, "bad_session_name", "session.attach", #"{"name":"\#(name)"}"#)
        }
        try client.expect(ENOENT, "no_such_session", "session.close", #"{"name":"nobody"}"#)
        _ = try client.call("ioas.alloc")
        try client.expect(EBUSY, "session_not_empty", "session.attach", #"{"name":"vm1"}"#)
    }

    @Test func quotasHold() throws {
        let bench = try ServiceBench(
            file: "[limits]\nsessions = 1\nobjects = 3\nconnections_per_uid = 3\nmapped_bytes = 8192\n")
        let client = try bench.connect()
        _ = try client.call("session.attach", #"{"name":"a"}"#)
        try client.expect(EDQUOT, "too_many_sessions", "session.attach", #"{"name":"b"}"#)
        _ = try client.call("ioas.alloc")
        _ = try client.call("memory.create", #"{"size":65536}"#)
        _ = try client.call("ioas.alloc")
        try client.expect(EDQUOT, "quota_exceeded", "ioas.alloc")
        try client.expect(EDQUOT, "quota_exceeded", "ioas.map", #"{"ioas":1,"memory":1,"length":16384,"iova":0}"#)
        _ = try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":8192,"iova":0}"#)
        let second = try bench.connect()
        let third = try bench.connect()
        _ = try second.call("daemon.info")
        _ = try third.call("daemon.info")
        let refused = #expect(throws: IOMMUError.self) { try bench.connect() }
        #expect(refused?.errno == .EDQUOT && refused?.reason == .tooManyConnections)
        #expect(try client.call("daemon.stats")["gauges"]?["connections"]?.intValue == 3)
    }

    @Test func descriptorsAreCounted() throws {
        let bench = try ServiceBench(file: "[limits]\ndescriptors = 16\n")
        let client = try bench.connect()
        for _ in 0..<15 { _ = try client.call("memory.create", #"{"size":4096}"#) }
        try client.expect(EDQUOT, "quota_exceeded", "memory.create", #"{"size":4096}"#)
        let refused = #expect(throws: IOMMUError.self) { try bench.connect() }
        #expect(refused?.errno == .EDQUOT && refused?.reason == .quotaExceeded)
        try client.call("memory.close", #"{"memory":3}"#)
        try client.expect(EBADF, "descriptor_missing", "memory.import")
        #expect(try bench.connect().call("daemon.info")["name"]?.stringValue == "iommud")
    }
}
