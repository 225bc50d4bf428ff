import Glibc
import JSONRPC
import LinuxIO

/// A connection to the daemon whose failures are ones a person can read.
final class Daemon {
    private let client: RPCClient
    /// The path that answered.
    let path: String

    /// Connects to the first path that answers.
    init(candidates: [String]) throws(Failure) {
        var problems: [String] = []
        for path in candidates {
            do throws(SystemError) {
                client = try RPCClient(path: path)
                self.path = path
                return
            } catch {
                problems.append(error.description)
            }
        }
        throw .unreachable(
            "no daemon answers: " + problems.joined(separator: "; "),
            hint: "start one with `systemctl start iommud` or `iommud`, or name its socket with --socket")
    }

    /// Calls a method and waits for its result.
    ///
    /// - Parameter descriptors: sent along; they stay the caller's.
    func call(_ method: String, _ params: JSONValue, descriptors: [Int32] = []) throws(Failure) -> JSONValue {
        do {
            return try client.call(method, params, descriptors: descriptors)
        } catch {
            throw Self.failure(error, method)
        }
    }

    /// Calls a method with the parameters that are not nil.
    func call(
        _ method: String, _ params: KeyValuePairs<String, JSONValue?> = [:], descriptors: [Int32] = []
    ) throws(Failure) -> JSONValue {
        let members = params.compactMap { pair in pair.value.map { JSONValue.Member(key: pair.key, value: $0) } }
        return try call(method, .object(members), descriptors: descriptors)
    }

    /// Waits for the next notification.
    func nextNotification() throws(Failure) -> JSONValue {
        do {
            return try client.nextNotification()
        } catch {
            throw Self.failure(error, "events")
        }
    }

    /// Closes what came with replies; returns how many that were.
    func dropDescriptors() -> Int {
        client.takeDescriptors().count
    }

    private static func failure(_ error: any Error, _ method: String) -> Failure {
        if let refusal = error as? RPCError { return .refused(refusal, method: method) }
        return .unreachable(
            "\(method): \(error)", hint: "the daemon may have ended; its log says why (journalctl -u iommud)")
    }
}
