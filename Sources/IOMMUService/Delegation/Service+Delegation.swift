import Glibc
import IOMMU
import JSONRPC
import LinuxIO

/// Sessions that somebody else drives: until when, and how they are ended.
extension Service {
    /// How long a process is left to end by itself (SIGTERM) before it is killed.
    private static let patience: UInt64 = 5_000_000_000

    /// The process has what the session has handed out, and the session ends with it.
    ///
    /// - Parameter process: nil where it cannot be seen from here: then the session ends as others do.
    func delegate(_ session: Session, to process: OtherProcess?) throws(IOMMUError) {
        guard let process else { return }
        session.delegation = try Delegation(process, of: session.account, on: loop) { [unowned self, weak session] in
            session.map { holderEnded($0) } ?? .now(())
        }
    }

    /// The process for which the client asks, by a pidfd that came with the call: one of the same user, unless the
    /// client is an administrator.
    ///
    /// - Throws: `EBADF` without a descriptor, `EINVAL` for one that is no pidfd, `ESRCH`, `EPERM`.
    func namedHolder(_ call: Call) throws -> OtherProcess {
        let peer = try client(call).peer
        let descriptor = try call.takeDescriptor()
        var uid = UInt32.max
        do throws(SystemError) {
            let process = try OtherProcess(pidfd: descriptor, uid: &uid)
            guard uid == peer.identity.uid || peer.identity.isAdmin else { throw SystemError(errno: EPERM, "pidfd") }
            return process
        } catch {
            throw Self.refusal(error.errno, uid: peer.identity.uid)
        }
    }

    private static func refusal(_ errno: Int32, uid: UInt32) -> IOMMUError {
        switch errno {
        case EBADF:
            IOMMUError(
                .EINVAL, .notAPIDFD, "the descriptor that came with fd.export is no pidfd",
                hint: "send one of pidfd_open(2) or SO_PEERPIDFD", [:])
        case ESRCH:
            IOMMUError(
                .ESRCH, .noSuchProcess, "the process for which the iommufd is asked for has ended",
                hint: "ask for one that lives")
        default:
            IOMMUError(
                .EPERM, .notAllowed, "the process for which the iommufd is asked for is none of user \(uid)",
                hint: "ask as the user of that process, or as an administrator", ["uid": .number(UInt64(uid))])
        }
    }

    /// The process that connected; nil if it cannot be seen from here.
    ///
    /// - Throws: `EMFILE`.
    func holder(_ connection: Connection) throws(IOMMUError) -> OtherProcess? {
        do throws(SystemError) {
            return try connection.peerProcess()
        } catch {
            guard error.errno == EMFILE || error.errno == ENFILE else { return nil }
            throw .noDescriptors
        }
    }

    private func holderEnded(_ session: Session) -> Answer<Void> {
        session.delegation = nil
        return session.name == nil && session.clients.isEmpty ? sessions.discard(session) : sessions.close(session)
    }

    /// Ends the process that drives a session, and the session with it.
    ///
    /// - Throws: `EPERM` for those who are no administrators, and where the daemon may send the process no signal.
    func end(_ delegation: Delegation, _ call: Call, by client: Client) throws(IOMMUError) -> Outcome {
        try client.peer.requireAdmin(to: "end the process that drives a session")
        let process = delegation.process
        do throws(SystemError) {
            try process.send(SIGTERM)
        } catch  where error.errno == EPERM {
            throw IOMMUError(
                .EPERM, .notAllowed, "the daemon may not end \(delegation.holder)",
                hint: "end it as root: the session ends with it", ["pid": .number(UInt64(max(0, process.pid)))])
        } catch {
            // It has ended meanwhile, and the session is about to.
        }
        let parked = call.park {}
        delegation.whenEnded { parked.reply { _ in } }
        loop.schedule(after: Self.patience) { [weak delegation] in try? delegation?.process.send(SIGKILL) }
        return .later(parked)
    }

    /// Offers wait in a directory beside the daemon's socket.
    ///
    /// - Parameter socket: nil: systemd has passed it.
    package func serveOffers(besides socket: String?) {
        offers.directory = OfferDirectory(besides: socket ?? SocketLocation.ofService)
    }
}
