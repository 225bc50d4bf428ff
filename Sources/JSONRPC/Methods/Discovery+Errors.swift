import LinuxIO

/// Refusals in OpenRPC documents: one error object for each code, as OpenRPC 1.3 demands, with its reasons in `data`.
extension OpenRPC {
    static func errors(of method: MethodDeclaration) -> [JSONValue] {
        var codes: [Int] = []
        for refusal in method.refusals where !codes.contains(refusal.code) { codes.append(refusal.code) }
        return codes.map { code in error(code, method.refusals.filter { $0.code == code }, method) }
    }

    private static func error(_ code: Int, _ refusals: [MethodRefusal], _ method: MethodDeclaration) -> JSONValue {
        let errno = refusals.first.map { Errno.name(of: $0.errno) } ?? ""
        return .members([
            ("code", .integer(code)),
            ("message", .string(code == RPCError.invalidParams ? "A mistake in the parameters" : errno)),
            (
                "data",
                .members([
                    ("errno", .string(errno)),
                    ("method", .string(method.title)),
                    (
                        "reasons",
                        .array(
                            refusals.map {
                                .members([("reason", .string($0.reason)), ("text", .string($0.doc))])
                            })
                    ),
                ])
            ),
        ])
    }
}

extension ComponentSchemas {
    /// What `error` of every reply looks like.
    func addErrors() {
        let code = "The negative errno of a refused operation, or a code of JSON-RPC."
        let message = Self.described("string", "For a person: what is wrong, and what to do.")
        let data = add(
            "ErrorData", Self.object("Why, and the objects and addresses involved.", errorData, isOpen: true))
        let members = [("code", Self.described("integer", code)), ("message", message), ("data", data)]
        _ = add("Error", Self.object("A refusal, which has changed nothing.", members, isOpen: false))
    }

    private var errorData: [(String, JSONValue)] {
        let method = JSONValue.members([
            ("type", Self.strings(["string", "null"])),
            ("description", .string("The method that was called; null if it is not known.")),
        ])
        return [
            ("errno", Self.described("string", "The name of the errno.")),
            ("reason", Self.described("string", "A word for programs that does not change.")),
            ("method", method),
            ("hint", Self.described("string", "What to do about it.")),
        ]
    }

    private static func described(_ type: String, _ doc: String) -> JSONValue {
        .members([("type", .string(type)), ("description", .string(doc))])
    }

    /// Of these members all but `hint` are always there; an open object has others, too.
    private static func object(_ doc: String, _ members: [(String, JSONValue)], isOpen: Bool) -> JSONValue {
        .members([
            ("type", .string("object")), ("description", .string(doc)), ("properties", .members(members)),
            ("required", strings(members.map(\.0).filter { $0 != "hint" })), ("additionalProperties", .bool(isOpen)),
        ])
    }
}

/// What is refused before a method is known, or breaks in the daemon itself: `components.errors` of the document.
enum ProtocolRefusal: CaseIterable {
    case malformed
    case noRequest
    case unknownMethod
    case tooManyDescriptors
    case lostDescriptors
    case turnedAway
    case notStarted
    case broken

    var name: String {
        switch self {
        case .malformed: "ParseError"
        case .noRequest: "InvalidRequest"
        case .unknownMethod: "MethodNotFound"
        case .tooManyDescriptors: "TooManyDescriptors"
        case .lostDescriptors: "DescriptorsLost"
        case .turnedAway: "ConnectionRefused"
        case .notStarted: "DaemonNotStarted"
        case .broken: "InternalError"
        }
    }

    private var code: Int {
        switch self {
        case .malformed: RPCError.parseError
        case .noRequest: RPCError.invalidRequest
        case .unknownMethod: RPCError.methodNotFound
        case .tooManyDescriptors, .lostDescriptors: -24
        case .turnedAway: -122
        case .notStarted: -22
        case .broken: RPCError.internalError
        }
    }

    private var reasons: [(reason: String, text: String)] {
        switch self {
        case .malformed: [("parse_error", "A line is not one JSON value.")]
        case .noRequest:
            [
                ("invalid_request", "A value is no JSON-RPC 2.0 request, or a batch is empty or too large."),
                ("too_deep", "Values are nested too deeply."),
                ("line_too_long", "A line is longer than the limits allow; the connection is closed."),
            ]
        case .unknownMethod: [("unknown_method", "There is no method of that name.")]
        case .tooManyDescriptors:
            [("too_many_descriptors", "More descriptors came than may wait on a connection: they are closed.")]
        case .lostDescriptors: [("descriptors_lost", "The system could not pass on descriptors that were sent.")]
        case .turnedAway:
            [
                ("too_many_connections", "The user has as many connections as the limits allow."),
                (
                    "quota_exceeded",
                    "The user holds as many descriptors, or bytes of lines that have not ended, as the limits allow."
                ),
            ]
        case .notStarted:
            [("configuration_unusable", "The daemon does not start with the configuration that it has, and says why.")]
        case .broken:
            [
                ("internal_error", "A call failed in a way that nothing foresees; the daemon's log says more."),
                ("reply_mismatch", "A reply was not as declared, and is withheld."),
            ]
        }
    }

    var document: JSONValue { OpenRPC.component(name, code, reasons) }
}

/// What any method can be refused with: a member of `components.errors` of the document.
public struct GeneralRefusal: Sendable {
    /// Its name there.
    public let name: String
    /// `error.code`
    public let code: Int
    /// The `reason` slug.
    public let reason: String
    /// When it comes.
    public let doc: String

    /// - Parameters:
    ///   - errno: positive.
    ///   - doc: one sentence.
    public init(_ name: String, errno: Int32, reason: String, _ doc: String) {
        (self.name, code, self.reason, self.doc) = (name, -Int(errno), reason, doc)
    }

    var document: JSONValue { OpenRPC.component(name, code, [(reason, doc)]) }
}

extension OpenRPC {
    fileprivate static func component(
        _ name: String, _ code: Int, _ reasons: [(reason: String, text: String)]
    ) -> JSONValue {
        let listed = reasons.map { reason, text in
            JSONValue.members([("reason", .string(reason)), ("text", .string(text))])
        }
        return .members([
            ("code", .integer(code)), ("message", .string(name)), ("data", .members([("reasons", .array(listed))])),
        ])
    }
}
