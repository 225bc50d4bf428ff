/// What a handler has done about a call.
public enum Outcome {
    /// The reply is written (or, if the handler wrote none, an empty result is).
    case reply
    /// The call waits; whoever holds the parked call answers it later.
    case later(ParkedCall)
}

/// All methods of a server, each declared once: dispatch, checks, `rpc.discover`, help and metrics come from here.
///
/// `Context` is what handlers act on; it is given when the table is bound by a `Dispatcher`, so that tools can read the
/// declarations without a server.
public struct MethodTable<Context> {
    /// Carries out a call whose parameters have been checked. What it throws becomes the error reply.
    public typealias Handler = (_ call: Call, _ context: Context) throws -> Outcome

    struct Entry {
        let declaration: MethodDeclaration
        let handler: Handler
    }

    private(set) var entries: [Entry] = []

    /// A table without methods.
    public init() {}

    /// Declares a method: `body` declares its parameters and result fields and returns the handler that uses them.
    ///
    /// - Parameters:
    ///   - name: `subject.verb`, unique in the table.
    ///   - summary: One sentence for the reference.
    ///   - role: Who may call it.
    ///   - changesState: Whether it changes anything.
    public mutating func declare(
        _ name: StaticString, _ summary: String, role: Role = .user, changesState: Bool = false,
        _ body: (_ method: MethodBuilder) -> Handler
    ) {
        precondition(
            !entries.contains { $0.declaration.title == name.description }, "method \(name) is declared twice")
        let builder = MethodBuilder()
        let handler = body(builder)
        let declaration = builder.declaration(name, summary, role: role, changesState: changesState)
        entries.append(Entry(declaration: declaration, handler: handler))
    }

    /// Everything declared, in order of declaration.
    public var declarations: [MethodDeclaration] { entries.map(\.declaration) }
}
