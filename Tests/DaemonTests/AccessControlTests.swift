import Foundation
import JSONRPC
import TestSupport
import Testing

/// Clients of other users. Only root can become them.
@Suite(.enabled(if: getuid() == 0, "needs root"))
struct AccessControlTests {
    private static let nobody: UInt32 = 65_534

    /// Sends request lines as another user, one after the other, and returns the replies.
    private func replies(
        _ daemon: RunningDaemon, uid: UInt32 = nobody, groups: [UInt32] = [], to requests: [(String, String)]
    ) throws -> [JSONValue] {
        let script = """
            import os, socket, sys
            os.setgroups([int(g) for g in sys.argv[3].split(",") if g])
            os.setresgid(*[int(sys.argv[2])] * 3)
            os.setresuid(*[int(sys.argv[2])] * 3)
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(sys.argv[1])
            replies = s.makefile("r")
            for line in sys.argv[4:]:
                s.sendall(line.encode() + b"\\n")
                sys.stdout.write(replies.readline())
            """
        let lines = requests.map { #"{"jsonrpc":"2.0","id":1,"method":"\#($0)","params":\#($1)}"# }
        let process = try ChildProcess(
            "/usr/bin/env",
            ["python3", "-c", script, daemon.socket, "\(uid)", groups.map(String.init).joined(separator: ",")] + lines)
        try #require(process.wait() == 0, "\(process.text)")
        return try process.text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    }

    private func reasons(_ replies: [JSONValue]) -> [String] {
        replies.map { $0["error"]?["data"]?["reason"]?.stringValue ?? "ok" }
    }

    @Test func rulesSayWhoMayBindWhat() throws {
        let lab = try String(contentsOfFile: BuiltProgram.laboratory, encoding: .utf8)
        let rules = """

            [[allow]]
            uid = 65534
            devices = ["0000:01:*"]

            [[allow]]
            gid = 4242
            devices = ["0000:03:00.0"]

            """
        let daemon = try RunningDaemon(configuration: lab + rules, isReachableByAll: true)
        let plain = try replies(
            daemon,
            to: [
                ("device.bind", #"{"name":"0000:01:00.0"}"#), ("device.bind", #"{"name":"0000:03:00.0"}"#),
                ("device.explain", #"{"name":"0000:03:00.0"}"#),
                ("ioas.check", #"{"devices":["0000:01:00.0","0000:03:00.0"],"mappings":[]}"#),
            ])
        #expect(reasons(plain) == ["ok", "not_allowed", "ok", "ok"])
        #expect(plain[1]["error"]?["code"]?.intValue == -Int(EPERM))
        #expect(plain[2]["result"]?["viable"]?.boolValue == false)
        #expect(plain[3]["result"]?["ok"]?.boolValue == false)
        let problem = plain[3]["result"]?["problems"]?[0]
        #expect(problem?["errno"]?.stringValue == "EPERM" && problem?["reason"]?.stringValue == "not_allowed")
        #expect(problem?["device"]?.stringValue == "0000:03:00.0")
        let member = try replies(daemon, groups: [4242], to: [("device.bind", #"{"name":"0000:03:00.0"}"#)])
        #expect(reasons(member) == ["ok"])
        // More groups than fit a small answer of the kernel, of which the one that counts comes last.
        let joiner = try replies(
            daemon, groups: Array(1000...3000) + [4242],
            to: [("device.explain", #"{"name":"0000:03:00.0"}"#), ("device.bind", #"{"name":"0000:03:00.0"}"#)])
        #expect(reasons(joiner) == ["ok", "ok"])
        let other = try replies(daemon, uid: 12_345, to: [("device.bind", #"{"name":"0000:01:00.0"}"#)])
        #expect(reasons(other) == ["not_allowed"])
        let curious = try replies(
            daemon, to: [("events.subscribe", #"{"all":true}"#), ("events.subscribe", #"{"all":false}"#)])
        #expect(reasons(curious) == ["not_allowed", "ok"])
        // Root needs no rule.
        _ = try daemon.connect().call("device.bind", #"{"name":"0000:05:00.0"}"#)
        #expect(daemon.process.text.contains("refused device.bind to user 65534"))
    }

    /// A share for one user, what is left but for a tenth for all, and that for administrators.
    @Test func nobodyTakesAllConnections() throws {
        let lab = try String(contentsOfFile: BuiltProgram.laboratory, encoding: .utf8)
        let limits = "connections = 20\n"
        let start = try #require(lab.range(of: "[limits]\n"))
        let rest = lab[start.upperBound...].replacing(/(?m)^connections = .*\n/, with: "")
        let daemon = try RunningDaemon(
            configuration: lab[..<start.upperBound] + limits + rest, isReachableByAll: true)
        let script = """
            import os, socket, sys, json
            def answers(uid, tries):
                os.setresuid(uid, uid, 0)
                held, refused = [], None
                for _ in range(tries):
                    s = socket.socket(socket.AF_UNIX)
                    s.settimeout(20)
                    s.connect(sys.argv[1])
                    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.info"}\\n')
                    answer = json.loads(s.makefile("r").readline())
                    if "error" in answer:
                        data = answer["error"]["data"]
                        refused = "%s %s" % (data["errno"], data["key"])
                        break
                    held.append(s)
                os.setresuid(0, 0, 0)
                print(len(held), refused)
                return held
            one = answers(65534, 30)
            two = answers(1234, 30)
            root = answers(0, 2)
            """
        let process = try ChildProcess("/usr/bin/env", ["python3", "-c", script, daemon.socket])
        try #require(process.wait() == 0, "\(process.text)")
        #expect(process.text == "10 EDQUOT limits.share\n8 EDQUOT limits.connections\n2 None\n")
    }

    @Test func othersSeeOnlyWhatIsTheirs() throws {
        let daemon = try RunningDaemon(isReachableByAll: true)
        let root = try daemon.connect()
        _ = try root.call("session.attach", #"{"name":"mine"}"#)
        _ = try root.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        let answers = try replies(
            daemon,
            to: [
                ("session.list", "{}"), ("session.close", #"{"name":"mine"}"#),
                ("session.close", #"{"name":"mine","owner_uid":0}"#), ("device.remove", #"{"name":"0000:04:00.0"}"#),
                ("device.add", #"{"name":"x","smmu":"smmu0","stream_ids":[9]}"#),
                ("smmu.ste", #"{"smmu":"smmu0","stream_id":256}"#), ("smmu.registers", #"{"smmu":"smmu0"}"#),
                ("device.bind", #"{"name":"0000:03:00.0"}"#), ("smmu.ste", #"{"device":1}"#),
                ("smmu.registers", #"{"smmu":"smmu0"}"#),
                ("smmu.translate", #"{"smmu":"smmu0","stream_id":256,"iova":0}"#),
                ("smmu.commands", #"{"smmu":"smmu0","limit":1000}"#), ("mm.open", #"{"pid":1}"#),
            ])
        #expect(answers[0]["result"]?["sessions"]?.arrayValue?.count == 1)
        #expect(
            Array(reasons(answers)[1...11]) == [
                "no_such_session", "not_allowed", "not_allowed", "not_allowed", "not_allowed", "not_allowed", "ok",
                "ok",
                "ok", "not_allowed", "ok",
            ])
        let commands = answers[11]["result"]?["commands"]?.arrayValue ?? []
        #expect(commands.allSatisfy { $0["StreamID"]?.stringValue == "0x300" })
        #expect(answers[12]["error"]?["code"]?.intValue == -Int(EPERM))
        // An administrator may close it.
        #expect(try root.call("session.list")["sessions"]?.arrayValue?.isEmpty == false)
        _ = try daemon.connect().call("session.close", #"{"name":"mine","owner_uid":0}"#)
    }
}
