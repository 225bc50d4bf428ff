import DequeModule

/// Long work that waits for its turns: users take turns, and so does the work of each.
struct PieceQueue {
    /// Work of a user; `piece` does some of it and returns whether all is done.
    struct Work {
        let user: UInt32
        let piece: (inout TurnBudget) -> Bool
    }

    private var waiting: [UInt32: Deque<Work>] = [:]
    /// Users with work, each once.
    private var users: Deque<UInt32> = []

    var isEmpty: Bool { users.isEmpty }

    mutating func append(_ work: Work) {
        guard waiting[work.user] != nil else {
            waiting[work.user] = [work]
            return users.append(work.user)
        }
        waiting[work.user]?.append(work)
    }

    /// The work whose turn it is. What is not done by then is appended again.
    mutating func takeFirst() -> Work? {
        guard let user = users.popFirst(), let work = waiting[user]?.popFirst() else { return nil }
        if waiting[user]?.isEmpty == false {
            users.append(user)
        } else {
            waiting[user] = nil
        }
        return work
    }
}
