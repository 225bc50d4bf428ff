import IOMMU

/// What one client, or several of one user, hold together: an iommufd context with its owner.
package final class Session {
    /// Unique for the life of the daemon.
    package let serial: UInt64
    /// nil: private to one connection and gone with it.
    package let name: String?
    /// Who made it.
    package let owner: ClientIdentity
    package let context: any IOMMUContext
    package let account: Account
    /// The connections that use it now.
    package private(set) var clients: [Client] = []

    init(serial: UInt64, name: String?, owner: ClientIdentity, context: any IOMMUContext, account: Account) {
        self.serial = serial
        self.name = name
        self.owner = owner
        self.context = context
        self.account = account
    }

    /// How others are told about it.
    package var label: String { name ?? "private-\(serial)" }

    func enter(_ client: Client) { clients.append(client) }

    func leave(_ client: Client) { clients.removeAll { $0 === client } }
}
