"""Mistakes in the application model: values, entities, processes, histories, context, rebuilds."""

from __future__ import annotations

from tests.mutants.laboratory import Edit, Mutant

ERRORS = "src/protean/adapters/sql/errors.py"
TIMEOUTS = "src/protean/adapters/sql/timeouts.py"
ASSOCIATIONS = "src/protean/elements/associations.py"
ELEMENT = "src/protean/elements/element.py"
GUARDING = "src/protean/elements/guarding.py"
ELEMENTS_SNAPSHOTS = "src/protean/elements/snapshots.py"
STATE = "src/protean/elements/state.py"
TRANSITIONS = "src/protean/elements/transitions.py"
UNCHANGING = "src/protean/elements/unchanging.py"
VALUE_OBJECT = "src/protean/elements/value_object.py"
FROZEN = "src/protean/fields/frozen.py"
INVOCATION = "src/protean/handle/invocation.py"
PROCESSES = "src/protean/handle/processes.py"
REPLAYING = "src/protean/handle/replaying.py"
HEADERS = "src/protean/write/headers.py"
IDEMPOTENCY = "src/protean/write/idempotency.py"
MESSAGES = "src/protean/write/messages.py"
PARTS = "src/protean/write/parts.py"
READING = "src/protean/write/reading.py"
WRITE_SNAPSHOTS = "src/protean/write/snapshots.py"
STORING = "src/protean/write/storing.py"
STREAM_STORAGE = "src/protean/write/stream_storage.py"

ENTITIES = "tests/elements/test_entities.py::"
INVARIANTS = "tests/elements/test_invariants.py::"
SOURCING = "tests/elements/test_sourcing.py::"
ELEMENTS_STATE = "tests/elements/test_state.py::"
VALUE_OBJECTS = "tests/elements/test_value_objects.py::"
CONTEXT = "tests/handle/test_context.py::"
HANDLE_PROCESSES = "tests/handle/test_processes.py::"
REBUILDING = "tests/handle/test_rebuilding.py::"
REFUSED_COMMITS = "tests/handle/test_refused_commits.py::"
VERSIONS = "tests/handle/test_versions.py::"
ASYNCHRONOUS_COMMANDS = "tests/write/test_asynchronous_commands.py::"
WRITE_ENTITIES = "tests/write/test_entities.py::"
SNAPSHOTS = "tests/write/test_snapshots.py::"
WRITE_SOURCING = "tests/write/test_sourcing.py::"
VALUES = "tests/write/test_values.py::"

MUTANTS = (
    Mutant(
        "a-frozen-list-grows",
        "nothing inside a value object, an event or a command changes",
        (
            Edit(
                FROZEN,
                "    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse",
                "    __setitem__ = __delitem__ = _refuse",
            ),
        ),
        (f"{VALUE_OBJECTS}test_whatever_would_change_a_list_or_dict_inside_is_refused",),
    ),
    Mutant(
        "replaced-without-a-look",
        "what replaces a value object is checked like any",
        (
            Edit(
                UNCHANGING,
                "return type(self)(**{**given, **changes})",
                "return type(self).model_construct(**{**given, **changes})",
            ),
        ),
        (f"{VALUE_OBJECTS}test_value_objects_never_change_and_are_replaced",),
    ),
    Mutant(
        "old-rows-are-checked",
        "rules that became stricter lock no old row out",
        (
            Edit(
                VALUE_OBJECT,
                "return cls.__trusted__(values_of(cls.__protean__.columns, row))",
                "return cls(**values_of(cls.__protean__.columns, row))",
            ),
        ),
        (f"{VALUE_OBJECTS}test_rules_that_became_stricter_do_not_lock_old_values_out",),
    ),
    Mutant(
        "an-old-list-locks-its-row",
        "a list that the rules refuse by now is no hindrance to other changes",
        (
            Edit(
                STATE,
                """                stands = is_replaying() or (before is not None and plain == before.get(column))
""",
                """                stands = is_replaying()
""",
            ),
        ),
        (f"{ELEMENTS_STATE}test_a_list_that_todays_rules_refuse_is_saved_as_it_is_and_not_with_a_change",),
    ),
    Mutant(
        "any-move-is-allowed",
        "a Status moves as its transitions say",
        (Edit(TRANSITIONS, "after in transitions[before]:", "True:"),),
        (f"{INVARIANTS}test_a_status_moves_along_its_transitions",),
    ),
    Mutant(
        "the-whole-is-not-asked",
        "a change of a part is looked at by the invariants of the whole",
        (
            Edit(
                GUARDING,
                "return [each for each in above if isinstance(each, Guarded) and each.__rules__ != Rules()]",
                "return [each for each in above[:1] if isinstance(each, Guarded) and each.__rules__ != Rules()]",
            ),
        ),
        (f"{INVARIANTS}test_a_change_of_a_part_is_a_change_of_the_whole",),
    ),
    Mutant(
        "the-first-complaint-counts",
        "what all invariants complain about comes in one error",
        (
            Edit(
                GUARDING,
                """                    messages.setdefault(field, []).extend(texts)
""",
                """                    messages.setdefault(field, []).extend(texts)
        if messages:
            break
""",
            ),
        ),
        (f"{INVARIANTS}test_an_atomic_change_looks_at_the_parts_too",),
    ),
    Mutant(
        "undone-but-for-its-events",
        "an atomic change that ends badly is undone with its events",
        (Edit(ELEMENTS_SNAPSHOTS, "            forget_events(self._top, self._events)", "            pass"),),
        (f"{INVARIANTS}test_an_atomic_change_that_ends_badly_is_undone_with_its_events",),
    ),
    Mutant(
        "filled-in-place-unseen",
        "what was done inside of a list is looked at before it is saved",
        (
            Edit(
                STORING,
                """            check_saved(element)
            tracked.loaded, tracked.raised = whole, False
            if not versioned""",
                """            tracked.loaded, tracked.raised = whole, False
            if not versioned""",
            ),
        ),
        (f"{VALUES}test_a_list_filled_in_place_is_looked_at_before_it_is_saved[memory]",),
    ),
    Mutant(
        "undone-and-detached",
        "an entity that is put back is a part again",
        (
            Edit(
                GUARDING,
                "Snapshot(self).restore if name in info.associations else _undo_of(self, name)",
                "_undo_of(self, name)",
            ),
        ),
        (f"{INVARIANTS}test_a_change_of_a_part_is_a_change_of_the_whole",),
    ),
    Mutant(
        "a-part-gives-no-version",
        "of two who change parts of one aggregate one is refused",
        (
            Edit(
                STORING,
                """        if versioned:
            tracked.version += 1
            changed[VERSION] = tracked.version
""",
                """        if versioned and changed:
            tracked.version += 1
            changed[VERSION] = tracked.version
""",
            ),
        ),
        (f"{WRITE_ENTITIES}test_of_two_who_change_different_parts_one_is_refused[memory]",),
    ),
    Mutant(
        "parts-survive-their-whole",
        "deleting by a query deletes the parts too",
        (
            Edit(
                PARTS,
                """        _delete_parts(transaction, cls, keys)
""",
                "",
            ),
        ),
        (f"{WRITE_ENTITIES}test_deleting_by_query_deletes_the_parts_of_what_matches_and_no_others[memory]",),
    ),
    Mutant(
        "rows-move-to-a-new-field",
        "rows from before a second field are the first's",
        (
            Edit(
                PARTS,
                "    return field if field in fields else fields[0]",
                "    return field if field in fields else fields[-1]",
            ),
        ),
        (
            f"{WRITE_ENTITIES}test_rows_from_before_a_second_field_are_the_firsts_and_without_a_place_they_are_last[memory]",
        ),
    ),
    Mutant(
        "a-refused-list-lets-go",
        "a list that is refused changes nothing",
        (
            Edit(
                ASSOCIATIONS,
                """            for entity in before:
                attach(entity, self._whose(), self._field)
            raise""",
                "            raise",
            ),
        ),
        (f"{ENTITIES}test_assigning_a_list_fills_the_list_that_is_there",),
    ),
    Mutant(
        "a-process-after-its-end",
        "what comes after the end of a process is ignored",
        (Edit(PROCESSES, "        elif process.is_complete:", "        elif False:"),),
        (f"{HANDLE_PROCESSES}test_the_last_event_ends_it_and_what_comes_later_is_ignored_and_said[memory]",),
    ),
    Mutant(
        "history-begins-processes",
        "what was written before a process manager first ran begins nothing",
        (
            Edit(
                PROCESSES,
                "        return message.global_position <= self._since.get(message.type, 0)",
                "        return False",
            ),
        ),
        (f"{HANDLE_PROCESSES}test_history_from_before_its_first_engine_begins_no_process[memory]",),
    ),
    Mutant(
        "told-of-at-the-old-time",
        "a timeout that is set anew is not told of at its old time",
        (
            Edit(
                TIMEOUTS,
                "name = %s AND due_at = %s AND message_id IS NULL",
                "name = %s AND %s IS NOT NULL AND message_id IS NULL",
            ),
        ),
        (f"{HANDLE_PROCESSES}test_a_timeout_that_is_set_anew_while_it_is_about_to_be_told_of_is_not_told_of[sqlite]",),
    ),
    Mutant(
        "a-timeout-forgets-who",
        "a timeout carries the headers of what set it",
        (Edit(PROCESSES, "headers=message.headers,", "headers={},"),),
        (f"{HANDLE_PROCESSES}test_a_timeout_carries_the_headers_of_the_message_during_which_it_was_set[memory]",),
    ),
    Mutant(
        "a-command-without-a-cause",
        "a command that a handler sends is caused by its message",
        (
            Edit(
                MESSAGES,
                """        causation_id=outer.origin if outer else None,
        headers=cause.headers""",
                """        causation_id=None,
        headers=cause.headers""",
            ),
        ),
        (
            f"{ASYNCHRONOUS_COMMANDS}test_a_command_that_a_handler_sends_is_caused_by_its_message_and_has_the_priority_it_says[memory]",
        ),
    ),
    Mutant(
        "one-key-for-two-answers",
        "a key of an asynchronous command is refused for one carried out at once",
        (
            Edit(
                IDEMPOTENCY,
                'f"{command.__protean__.name} (asynchronous)" if asynchronous else command.__protean__.name',
                "command.__protean__.name",
            ),
        ),
        (f"{ASYNCHRONOUS_COMMANDS}test_under_a_key_it_is_accepted_once[memory]",),
    ),
    Mutant(
        "appended-wherever-the-end-is",
        "of two who continue a stream one is refused",
        (
            Edit(
                STREAM_STORAGE,
                "        transaction.log.append(messages, broker, {name: end.version for name, end in ends.items()})",
                "        transaction.log.append(messages, broker, {})",
            ),
        ),
        (f"{WRITE_SOURCING}test_of_two_writers_the_second_is_told_and_nothing_of_it_is_kept[memory]",),
    ),
    Mutant(
        "a-snapshot-of-other-code",
        "a snapshot made by another @apply method is ignored",
        (Edit(WRITE_SNAPSHOTS, "repr((_shape(cls), methods))", "repr(_shape(cls))"),),
        (f"{SNAPSHOTS}test_a_snapshot_is_of_no_use_to_whoever_would_make_another_state_of_the_events",),
    ),
    Mutant(
        "the-past-from-a-later-state",
        "the past is shown as it was",
        (Edit(STREAM_STORAGE, 'if row is not None and row["position"] <= last else None', ""),),
        (f"{WRITE_SOURCING}test_an_order_is_shown_as_it_was_at_every_version[memory]",),
    ),
    Mutant(
        "history-judged-by-today",
        "history stands in parts and values too",
        (
            Edit(
                ELEMENT,
                """    if not is_replaying() or not values.keys() <= element.__protean__.fields.keys():
""",
                """    if True:
""",
            ),
        ),
        (f"{SOURCING}test_history_stands_in_parts_and_values_too",),
    ),
    Mutant(
        "an-upcaster-tells-the-payload",
        "an upcaster's failure tells nothing of the payload",
        (Edit(READING, "raised {type(error).__name__} for", "raised {error} for"),),
        (f"{VERSIONS}test_an_upcaster_that_raises_is_the_handlers_failure_and_tells_no_payload",),
    ),
    Mutant(
        "removed-from-g-and-sent",
        "what a handler takes out of g goes along no further",
        (
            Edit(
                HEADERS,
                """            headers.pop(name, None)
""",
                "",
            ),
        ),
        (f"{CONTEXT}TestPropagation::test_what_a_handler_takes_out_of_g_goes_along_no_further",),
    ),
    Mutant(
        "rebuilt-and-applied-again",
        "a rebuilt projection's projectors go on behind it",
        (Edit(REPLAYING, "            transaction.rebuilding.take_over(spec.name, own)", "            pass"),),
        (
            f"{REBUILDING}test_a_projection_that_has_seen_nothing_is_filled_and_its_projector_goes_on_behind_that[memory]",
        ),
    ),
    Mutant(
        "rebuilt-with-the-discarded",
        "a rebuild leaves out what a person has discarded",
        (Edit(REPLAYING, "                if message.id not in gone[spec.name]:", "                if True:"),),
        (f"{REBUILDING}test_what_a_person_has_discarded_is_left_out_again[memory]",),
    ),
    Mutant(
        "a-refused-commit-is-nobodys",
        "what is refused at the commit is its message's failure, and its neighbours go on",
        (
            Edit(
                INVOCATION,
                """            if not committing or not messages:
                raise
""",
                """            raise
""",
            ),
        ),
        (
            f"{REFUSED_COMMITS}test_a_handler_that_catches_what_spoils_its_transaction_has_failed_and_its_neighbours_go_on",
        ),
    ),
    Mutant(
        "no-room-is-an-outage",
        "a message that the database has no room for holds the lane for a while only",
        (Edit(ERRORS, '_TOO_MUCH = frozenset(["53200", "53400"])', "_TOO_MUCH = frozenset[str]()"),),
        (
            f"{REFUSED_COMMITS}test_a_message_that_the_database_never_has_room_for_holds_the_lane_for_a_while_and_then_fails",
        ),
    ),
)
