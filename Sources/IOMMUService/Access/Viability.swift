import IOMMU

/// Whether a client can bind and attach a device, and if not, why: for `device.explain` and `topology.list` alike.
struct Viability {
    /// What the rules of access say against it.
    let refusal: IOMMUError?
    /// What the backend says against it.
    let explanation: DeviceExplanation

    var isViable: Bool { refusal == nil && explanation.viable }

    /// The first reason why not.
    var reason: String? { refusal?.message ?? explanation.reasons.first?.text }
}

extension Service {
    /// `ENODEV` for an unknown device.
    func viability(of device: String, for client: Client) throws(IOMMUError) -> Viability {
        Viability(
            refusal: policy.refusal(client.peer, device: device),
            explanation: try client.session.context.explain(deviceNamed: device))
    }

    /// What the rules of access say against devices that are yet to be bound.
    func refusals(of selectors: [DeviceSelector], for client: Client) -> [LayoutProblem] {
        selectors.compactMap { selector in
            guard case .name(let name) = selector, let refusal = policy.refusal(client.peer, device: name) else {
                return nil
            }
            return LayoutProblem(error: refusal, device: name)
        }
    }

    /// A group moves as one: what stands against one of its devices stands against all. - Returns: why not, if so.
    func obstacle(to group: TopologyState.Group, for client: Client) -> String? {
        do {
            for device in group.devices {
                let found = try viability(of: device, for: client)
                if !found.isViable { return found.reason ?? "device \(device) is not viable" }
            }
            return nil
        } catch {
            // A device has gone since the group was read.
            return error.message
        }
    }
}
