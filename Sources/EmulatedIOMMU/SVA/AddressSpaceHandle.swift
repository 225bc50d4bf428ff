import IOMMU

/// What a session calls an address space.
package final class AddressSpaceHandle {
    unowned let session: SVASession
    /// What the session calls it; 0 before it has a name.
    package internal(set) var id: ObjectID = 0
    /// What is called so; other sessions may have it too.
    package let space: AddressSpace
    /// Bonds of this session.
    var bonds = 0
    /// Ranges that mappings of this session use.
    var lent = 0
    /// Other processes by which the session has opened it.
    private(set) var sharers: [OpenedProcess] = []
    /// More are not remembered.
    private static let sharerLimit = 8

    init(session: SVASession, space: AddressSpace) {
        self.session = session
        self.space = space
    }

    /// File descriptors that it holds: `mem` and `maps` of each process.
    var descriptors: UInt64 { space.descriptors + 2 * UInt64(sharers.count) }

    /// Keeps a process by which the address space was opened, if there is room, to know it again when the first one has
    /// gone.
    func remember(_ opened: OpenedProcess) {
        guard let identity = opened.memory.identity, opened.pid != nil, identity != space.process?.identity,
            !space.sharers.contains(where: { $0.memory.identity == identity })
        else { return }
        let account = session.context.account
        let running = sharers.filter(\.isRunning)
        account.release(2 * UInt64(sharers.count - running.count), of: .descriptors)
        sharers = running
        guard sharers.count < Self.sharerLimit else { return }
        do throws(IOMMUError) {
            try account.charge(2, of: .descriptors)
            sharers.append(opened)
        } catch {
            // The address space may have two names once the first process has gone.
        }
    }
}
