import Glibc

/// Who may call a method.
public enum Role: String, Sendable {
    case user, admin
}

/// One way in which a method refuses.
public struct MethodRefusal: Sendable {
    /// `error.code`: the negative errno, or -32602 for a mistake in the parameters.
    public let code: Int
    /// Positive Linux errno.
    public let errno: Int32
    /// The `reason` slug.
    public let reason: String
    /// When it does so.
    public let doc: String

    init(code: Int? = nil, errno: Int32, reason: String, doc: String) {
        self.code = code ?? -Int(errno)
        self.errno = errno
        self.reason = reason
        self.doc = doc
    }
}

/// All that is declared about a method, apart from what it does.
public struct MethodDeclaration: Sendable {
    /// `subject.verb`.
    public let name: StaticString
    /// One sentence for the reference.
    public let summary: String
    /// Who may call it.
    public let role: Role
    /// Whether the call changes state (and so has to be recorded, or refused to who may only look).
    public let changesState: Bool
    /// The descriptors it takes of those that came with its bytes: fewest to most.
    public let descriptorsTaken: ClosedRange<Int>
    /// Whether its reply may carry descriptors.
    public let returnsDescriptors: Bool
    /// In the order declared.
    public let parameters: [FieldSchema]
    /// The fields of the result, in the order declared.
    public let results: [FieldSchema]
    /// The result is an object whose members are not declared.
    public let hasFreeResult: Bool
    /// All refusals that can come, each once.
    public let refusals: [MethodRefusal]

    /// The name as a string.
    public var title: String { name.description }
}

/// Declares one method's parameters, result and refusals.
public final class MethodBuilder {
    private let parameters = ParameterBuilder(SlotAllocator())
    private let results = ResultBuilder()
    private var refusals: [MethodRefusal] = []
    private(set) var descriptorsTaken = 0...0
    private(set) var returnsDescriptors = false
    private var hasFreeResult = false

    init() {}

    /// A parameter that has to be there.
    public func param<Value>(_ name: StaticString, _ type: ParamType<Value>, _ doc: String) -> Param<Value> {
        parameters.param(name, type, doc)
    }

    /// A parameter that means `default` when it is absent or `null`.
    public func param<Value: DefaultableParameter>(
        _ name: StaticString, _ type: ParamType<Value>, default value: Value, _ doc: String
    ) -> Param<Value> {
        parameters.param(name, type, default: value, doc)
    }

    /// A parameter that may be absent or `null`: both read as `nil`.
    public func optional<Value>(_ name: StaticString, _ type: ParamType<Value>, _ doc: String) -> Param<Value?> {
        parameters.optional(name, type, doc)
    }

    /// A result field that every reply has.
    public func result<Kind>(_ name: StaticString, _ type: ResultType<Kind>, _ doc: String) -> Field<Kind> {
        results.result(name, type, doc)
    }

    /// A result field that may be left out.
    public func optionalResult<Kind>(_ name: StaticString, _ type: ResultType<Kind>, _ doc: String) -> Field<Kind> {
        results.optionalResult(name, type, doc)
    }

    /// The result is an object whose members are not declared one by one: written with `call.replyFree`.
    public func freeResult() { hasFreeResult = true }

    /// The call takes descriptors that came with its bytes (`call.takeDescriptor()`).
    public func takesDescriptors(_ count: ClosedRange<Int>) { descriptorsTaken = count }

    /// The call takes exactly so many descriptors that came with its bytes (`call.takeDescriptor()`).
    public func takesDescriptors(_ count: Int) { descriptorsTaken = count...count }

    /// The reply may carry descriptors (`call.attach`): its result then says `"fds": N`.
    ///
    /// - Parameter several: more than one, which may be more than the client may leave unread besides others.
    public func sendsDescriptors(several: Bool = false) {
        returnsDescriptors = true
        guard several else { return }
        refuses(EMFILE, "descriptors_unsent", "Too many descriptors wait for the client to read them.")
    }

    /// A refusal that can come, and when. What follows from parameters, descriptors and the role need not be said; of
    /// two with one errno and reason, the first tells.
    public func refuses(_ errno: Int32, _ reason: String, _ doc: String) {
        add(MethodRefusal(errno: errno, reason: reason, doc: doc))
    }

    /// A mistake in the parameters (-32602) that their types alone do not show, such as one that needs another.
    public func refusesParameters(_ reason: String, _ doc: String) {
        add(MethodRefusal(code: RPCError.invalidParams, errno: EINVAL, reason: reason, doc: doc))
    }

    private func add(_ refusal: MethodRefusal) {
        guard !refusals.contains(where: { $0.code == refusal.code && $0.reason == refusal.reason }) else { return }
        refusals.append(refusal)
    }

    func declaration(
        _ name: StaticString, _ summary: String, role: Role, changesState: Bool
    ) -> MethodDeclaration {
        for refusal in impliedRefusals(role: role, parameters: parameters.fields) { add(refusal) }
        var fields = results.fields
        if returnsDescriptors {
            fields.append(
                FieldSchema(
                    "fds", .signed, required: false, slot: fields.count,
                    doc: "Number of descriptors that come with the reply (SCM_RIGHTS)."))
        }
        return MethodDeclaration(
            name: name, summary: summary, role: role, changesState: changesState, descriptorsTaken: descriptorsTaken,
            returnsDescriptors: returnsDescriptors, parameters: parameters.fields, results: fields,
            hasFreeResult: hasFreeResult, refusals: refusals)
    }
}
