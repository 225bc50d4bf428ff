import IOMMU

/// What one client, or several of one user, hold together: an iommufd context with its owner.
package final class Session {
    /// Unique for the life of the daemon.
    package let serial: UInt64
    /// The number of its context.
    package var id: ContextID { ContextID(serial) }
    /// The connection that it is private to, by its number.
    package let connection: UInt64?
    let key: SessionName?
    /// Who made it.
    package let owner: ClientIdentity
    /// What it holds of the backend.
    package let context: any IOMMUContext
    /// What its user's sessions hold together.
    package let account: Account
    /// The connections that use it now.
    package private(set) var clients: [Client] = []

    /// Who drives what it has handed out; nil: itself.
    package var delegation: Delegation?

    init(
        serial: UInt64, connection: UInt64?, key: SessionName?, owner: ClientIdentity, context: any IOMMUContext,
        account: Account
    ) {
        self.serial = serial
        self.connection = connection
        self.key = key
        self.owner = owner
        self.context = context
        self.account = account
    }

    /// nil: private to one connection and gone with it.
    package var name: String? { key?.text }

    /// How others are told about it.
    package var label: String { name ?? "private-\(serial)" }

    func enter(_ client: Client) {
        clients.append(client)
        if isBusy { client.gate?.isHeld = true }
    }

    func leave(_ client: Client) {
        clients.removeAll { $0 === client }
        client.gate?.isHeld = false
    }

    // MARK: Calls that are answered later

    /// Whether its backend is at a call that is answered later.
    package private(set) var isBusy = false
    private var onEnd: [() -> Void] = []

    /// Such a call has begun: nothing else of the session is carried out until ``end()``.
    func begin() {
        isBusy = true
        for client in clients { client.gate?.isHeld = true }
    }

    /// It has ended.
    func end() {
        isBusy = false
        for client in clients { client.gate?.isHeld = false }
        let bodies = onEnd
        onEnd = []
        for body in bodies { body() }
    }

    /// Runs `body` as soon as the backend is at nothing.
    func whenIdle(_ body: @escaping () -> Void) {
        if isBusy { onEnd.append(body) } else { body() }
    }
}
