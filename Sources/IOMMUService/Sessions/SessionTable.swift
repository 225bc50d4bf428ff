import Durability
import IOMMU

/// Every session of the daemon, and whose it is.
package final class SessionTable {
    package typealias MakeContext =
        (_ id: ContextID, _ owner: String, _ account: Account, _ limits: ContextLimits) -> any IOMMUContext

    struct Key: Hashable {
        var uid: UInt32
        var name: SessionName
    }

    private let makeContext: MakeContext
    /// Where the descriptors of all sessions come from; nil: they are limited by user only.
    private let descriptors: Pool?
    /// Where the bytes of their memory objects come from, likewise.
    private let memory: Pool?
    var named: [Key: Session] = [:]
    var sessions: [UInt64: Session] = [:]
    var accounts: [UInt32: (account: Account, sessions: Int)] = [:]
    var lastSerial: UInt64 = 0
    private var lastConnection: UInt64 = 0

    /// For contexts and accounts made from now on; accounts that exist get the new limits at once.
    package var limits: SessionLimits {
        didSet { for entry in accounts.values { limits.apply(to: entry.account) } }
    }

    /// Those of contexts while all is granted.
    var limitsBefore: ContextLimits?

    /// Sessions that nobody can name any more, until all in them is freed.
    private var endings: [UInt64: Session] = [:]

    /// Sees to it that named sessions outlive the daemon; nil: they do not.
    package weak var keeper: (any SessionKeeping)?

    /// Told after a session is gone, with the connections that were on it.
    package var onClose: ((Session, [Client]) -> Void)?
    /// Told when a session begins to end.
    package var onDiscard: ((Session) -> Void)?
    /// Told when all that was in a session is freed.
    package var onEnd: ((Session) -> Void)?

    /// A table without sessions.
    package init(
        limits: SessionLimits, descriptors: Pool? = nil, memory: Pool? = nil, makeContext: @escaping MakeContext
    ) {
        self.memory = memory
        self.limits = limits
        self.descriptors = descriptors
        self.makeContext = makeContext
    }

    /// Sessions, private ones included.
    package var count: Int { sessions.count }
    /// Named sessions.
    package var namedCount: Int { named.count }

    /// Every session, oldest first.
    package var all: [Session] { sessions.values.sorted { $0.serial < $1.serial } }

    /// The session of a context, also while it ends.
    package func session(_ context: ContextID) -> Session? {
        sessions[context.number] ?? endings[context.number]
    }

    /// The session of a context that is being closed.
    func ending(_ context: ContextID) -> Session? { endings[context.number] }

    // MARK: Connections

    /// A new connection with its private session.
    package func connect(_ peer: Peer) -> Client {
        lastConnection += 1
        let session = makeSession(name: nil, owner: peer.identity, connection: lastConnection)
        let client = Client(peer: peer, number: lastConnection, session: session)
        client.session.enter(client)
        return client
    }

    /// The connection is gone: its private session goes with it, a named one stays.
    package func disconnect(_ client: Client) {
        let session = client.session
        session.leave(client)
        // What was handed out ends with whoever drives it.
        if session.name == nil, session.delegation == nil { discard(session) }
    }

    // MARK: Named sessions

    /// Moves the connection from its private session, which must be empty, to the named one.
    package func attach(_ client: Client, name text: String, create: Bool) throws(IOMMUError) -> Session {
        let name = try SessionName(text)
        let key = Key(uid: client.peer.identity.uid, name: name)
        let old = client.session
        if let there = named[key], there === old { return there }
        if old.name == nil, !old.context.isEmpty {
            throw IOMMUError(
                .EBUSY, .sessionNotEmpty,
                "the private session of this connection holds objects, so that it cannot turn to “\(text)”",
                hint: "end them first, or attach right after connecting", ["session": .text(text)]
            )
        }
        if old.name == nil, let delegation = old.delegation { throw delegation.refusal(of: old) }
        let session: Session
        if let there = named[key] {
            session = there
        } else {
            session = try makeNamed(key, owner: client.peer.identity, create: create)
        }
        old.leave(client)
        client.session = session
        session.enter(client)
        if old.name == nil { discard(old) }
        return session
    }

    /// The session a client may name: its own user's, or with `uid` another user's if it is an administrator.
    package func find(_ text: String, uid: UInt32?, for peer: Peer) throws(IOMMUError) -> Session {
        let owner = uid ?? peer.identity.uid
        if owner != peer.identity.uid { try peer.requireAdmin(to: "touch the sessions of other users") }
        guard let session = named[Key(uid: owner, name: try SessionName(text))] else {
            throw Self.unknown(text)
        }
        return session
    }

    /// Destroys the session and all in it; its connections go on with a fresh private session each.
    ///
    /// - Returns: when all is freed.
    @discardableResult
    package func close(_ session: Session) -> Answer<Void> {
        let clients = session.clients
        if session.name != nil { keeper?.closed(session) }
        // The new ones first: a user's account lives as long as any session of the user.
        for client in clients {
            session.leave(client)
            client.session = makeSession(name: nil, owner: client.peer.identity, connection: client.number)
            client.session.enter(client)
        }
        let answer = discard(session)
        onClose?(session, clients)
        return answer
    }

    /// Frees everything, for the end of the daemon.
    package func closeAll() {
        keeper?.daemonEnds()
        for session in all { discard(session) }
    }

    /// The sessions a client may know of: its own user's, all for an administrator.
    package func visible(to peer: Peer) -> [Session] {
        peer.identity.isAdmin ? all : all.filter { $0.owner.uid == peer.identity.uid }
    }

    // MARK: Making and discarding

    private func makeNamed(_ key: Key, owner: ClientIdentity, create: Bool) throws(IOMMUError) -> Session {
        guard create else { throw Self.unknown(key.name.text) }
        let held = named.keys.count { $0.uid == key.uid }
        guard held < limits.sessions else {
            throw IOMMUError(
                .EDQUOT, .tooManySessions, "user \(key.uid) has \(held) named sessions, as many as may be",
                hint: "close one, or ask the administrator to raise limits.sessions",
                ["limit": .number(UInt64(limits.sessions))]
            )
        }
        let session = try makeSession(name: key.name, owner: owner) { [keeper] serial, context throws(IOMMUError) in
            let facts = SessionFacts(serial: serial, name: key.name.text, owner: owner)
            return try keeper?.made(facts, context) ?? context
        }
        named[key] = session
        return session
    }

    private func makeSession(name: SessionName?, owner: ClientIdentity, connection: UInt64? = nil) -> Session {
        makeSession(name: name, owner: owner, connection: connection) { $1 }
    }

    /// - Parameter stand: puts something before the context.
    func makeSession<Failure>(
        name: SessionName?, owner: ClientIdentity, connection: UInt64? = nil, serial: UInt64? = nil,
        _ stand: (_ serial: UInt64, _ context: any IOMMUContext) throws(Failure) -> any IOMMUContext
    ) throws(Failure) -> Session {
        let serial = serial ?? lastSerial + 1
        lastSerial = max(lastSerial, serial)
        let account = takeAccount(owner)
        let title =
            name.map { "session \($0.text) of user \(owner.uid)" } ?? "process \(owner.pid) of user \(owner.uid)"
        let made = makeContext(ContextID(serial), title, account, limits.context)
        let context: any IOMMUContext
        do throws(Failure) { context = try stand(serial, made) } catch {
            made.close()
            releaseAccount(owner.uid)
            throw error
        }
        let session = Session(
            serial: serial, connection: connection, key: name, owner: owner, context: context, account: account)
        sessions[serial] = session
        return session
    }

    /// What the backend is at comes to its end first.
    @discardableResult
    func discard(_ session: Session) -> Answer<Void> {
        guard sessions.removeValue(forKey: session.serial) != nil else { return .now(()) }
        onDiscard?(session)
        if let name = session.key { named[Key(uid: session.owner.uid, name: name)] = nil }
        endings[session.serial] = session
        guard session.isBusy else { return end(session) }
        let ended = Deferred<Void>()
        session.whenIdle { [self] in
            switch end(session) {
            case .now: ended.settle(.success(()))
            case .later(let closing): closing.whenSettled { ended.settle($0) }
            }
        }
        return .later(ended)
    }

    private func end(_ session: Session) -> Answer<Void> {
        guard case .later(let closing) = session.context.beginClose() else {
            forget(session)
            return .now(())
        }
        let ended = Deferred<Void>()
        closing.whenSettled { [self] result in
            forget(session)
            ended.settle(result)
        }
        return .later(ended)
    }

    private func forget(_ session: Session) {
        endings[session.serial] = nil
        releaseAccount(session.owner.uid)
        onEnd?(session)
    }

    private func takeAccount(_ owner: ClientIdentity) -> Account {
        var entry = accounts[owner.uid] ?? (makeAccount(owner.uid), 0)
        entry.sessions += 1
        accounts[owner.uid] = entry
        if owner.isAdmin { entry.account.makeAdministrator() }
        return entry.account
    }

    private func makeAccount(_ uid: UInt32) -> Account {
        let account = Account(uid: uid, descriptors: descriptors, memory: memory)
        limits.apply(to: account)
        return account
    }

    /// What still counts against a user without sessions keeps the account.
    private func releaseAccount(_ uid: UInt32) {
        guard var entry = accounts[uid] else { return }
        entry.sessions -= 1
        accounts[uid] = entry.sessions > 0 || !entry.account.isEmpty ? entry : nil
    }

    /// What every user holds of pools, by user.
    var accountsInUse: [Account] { accounts.values.map(\.account).filter { !$0.isEmpty } }

    var poolShares: [PoolShare] { accounts.sorted { $0.key < $1.key }.flatMap { $0.value.account.poolShares } }

    /// Those that a client may know of: its own, all for an administrator.
    func poolShares(visibleTo peer: Peer) -> [PoolShare] {
        peer.identity.isAdmin ? poolShares : poolShares.filter { $0.uid == peer.identity.uid }
    }

    private static func unknown(_ name: String) -> IOMMUError {
        IOMMUError(
            .ENOENT, .noSuchSession, "there is no session “\(name)”",
            hint: "session.list shows those there are", ["session": .text(name)]
        )
    }
}
