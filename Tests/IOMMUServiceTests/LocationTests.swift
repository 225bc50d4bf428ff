import IOMMUService
import Testing

struct LocationTests {
    private func environment(_ variables: [String: String]) -> (String) -> String? { { variables[$0] } }

    @Test func theSocketFollowsTheWayOfStarting() {
        func standard(_ variables: [String: String]) -> String {
            SocketLocation.standard(environment: environment(variables), uid: 1000)
        }
        #expect(standard([:]) == "/tmp/iommud-1000/iommud.sock")
        #expect(standard(["XDG_RUNTIME_DIR": "/run/user/1000"]) == "/run/user/1000/iommud.sock")
        #expect(standard(["XDG_RUNTIME_DIR": "relative"]) == "/tmp/iommud-1000/iommud.sock")
        #expect(standard(["NOTIFY_SOCKET": "/run/n", "INVOCATION_ID": "1"]) == SocketLocation.ofService)
        #expect(standard(["NOTIFY_SOCKET": "/run/n"]) == "/tmp/iommud-1000/iommud.sock")
    }

    @Test func onlyTheDirectoryInTmpIsPrivate() {
        #expect(SocketLocation.isPrivate("/tmp/iommud-1000/iommud.sock", uid: 1000))
        #expect(!SocketLocation.isPrivate("/tmp/iommud-1000/iommud.sock", uid: 1001))
        #expect(!SocketLocation.isPrivate("/run/iommud/iommud.sock", uid: 1000))
    }

    @Test func theStateDirectoryIsChosenInOrder() {
        func choose(option: String? = nil, configured: String? = nil, _ variables: [String: String] = [:]) -> String {
            StateLocation.choose(
                option: option, configured: configured, socket: "/run/x.sock", environment: environment(variables))
        }
        let runtime = ["RUNTIME_DIRECTORY": "/run/iommud-state:/run/other"]
        #expect(choose(option: "/a", configured: "/b", runtime) == "/a")
        #expect(choose(configured: "/b", runtime) == "/b")
        #expect(choose(runtime) == "/run/iommud-state")
        #expect(choose() == "/run/x.sock.state")
    }
}
