import IOMMU
import LinuxIO

/// All offers that wait for their takers.
final class OfferDesk {
    private let loop: EventLoop
    private let onTaken: (Session, OtherProcess?) -> Void
    private var offers: [ObjectIdentifier: Offer] = [:]
    /// nil: nobody has said where the daemon listens.
    var directory: OfferDirectory? { didSet { directory?.clear() } }

    /// - Parameter onTaken: told after the hand-over, of what session and to whom.
    init(loop: EventLoop, onTaken: @escaping (Session, OtherProcess?) -> Void) {
        (self.loop, self.onTaken) = (loop, onTaken)
    }

    /// Opens a socket for an iommufd of the client's session. - Returns: its path.
    ///
    /// - Throws: `EDQUOT` for too many of one user, and what offering throws.
    func make(
        for client: Client, seconds: UInt64, limit: Int, _ offer: () throws(IOMMUError) -> any ContextOffer
    ) throws(IOMMUError) -> String {
        let uid = client.peer.identity.uid
        let used = offers.values.count { $0.session.owner.uid == uid }
        guard used < limit else {
            throw IOMMUError(
                .EDQUOT, .quotaExceeded, "user \(uid) has \(used) offers that nobody has taken, as many as may be",
                hint:
                    "let some be taken or end their sessions, or ask the administrator to raise limits.offers_per_uid",
                [
                    "key": .text("limits.offers_per_uid"), "limit": .number(UInt64(limit)),
                    "used": .number(UInt64(used)),
                ])
        }
        let context = try offer()
        do throws(SystemError) {
            guard let directory else { throw SystemError(errno: 2, "find a directory for offers") }
            let made = try Offer(
                context, of: client.session, for: uid, on: try directory.listen(for: client.peer.identity.gid),
                seconds: seconds, loop: loop
            ) { [unowned self] offer, end in ended(offer, end) }
            offers[ObjectIdentifier(made)] = made
            return made.path
        } catch {
            context.withdraw()
            throw noPlace(error)
        }
    }

    /// A session ends, and its offers with it.
    func withdraw(_ session: Session) {
        for (key, offer) in offers where offer.session === session {
            offer.withdraw()
            offers[key] = nil
        }
    }

    private func ended(_ offer: Offer, _ end: Offer.End) {
        offers[ObjectIdentifier(offer)] = nil
        // It is on the call stack.
        loop.later { _ = offer }
        guard case .taken(let process) = end else { return }
        withdraw(offer.session)
        onTaken(offer.session, process)
    }

    private func noPlace(_ error: SystemError) -> IOMMUError {
        switch error.errno {
        case 23, 24: .noDescriptors
        default:
            IOMMUError(
                .EIO, .noOfferDirectory,
                "no socket can be opened in \(directory?.path ?? "none") for an offer: \(error)",
                hint: "see to the directory iommud-offers beside the daemon's socket, which has to be the daemon's own",
                ["directory": .text(directory?.path ?? "none")])
        }
    }
}
