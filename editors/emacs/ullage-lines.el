;;; ullage-lines.el --- Lines about the conversation  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Every line that `ullage chat' knows, completed, and commands for those that
;; are used most.  The server shows what comes of them.

;;; Code:

(require 'subr-x)
(require 'ullage-connection)

(declare-function ullage--about "ullage")
(declare-function ullage--folder-here "ullage")
(declare-function ullage--id "ullage")
(declare-function ullage--use "ullage")
(declare-function ullage--with-id "ullage")

(defconst ullage--words
  '(("auto" "on" "off")
    ("size" "4k" "8k" "16k" "32k")
    ("compress" "hybrid" "summarize" "truncate")
    ("estimate" "hybrid" "summarize" "truncate")
    ("export" "markdown" "json"))
  "What may follow a line.")

(defvar ullage--line-map
  (let ((map (make-sparse-keymap)))
    (define-key map " " #'self-insert-command)
    (define-key map "?" #'self-insert-command)
    map)
  "Keys that complete nothing in a line: words follow a name.")

(defun ullage--run (name &optional argument done)
  "Do the line NAME with ARGUMENT in the present buffer's context; call DONE."
  (let ((folder (ullage--folder-here)))
    (ullage--with-id
     (lambda (id)
       (ullage--about
        id :workspace/executeCommand
        (list :command (concat "ullage.server." name)
              :arguments (vector (append (list :contextId id)
                                         (unless (string-empty-p (or argument ""))
                                           (list :argument argument)))))
        (lambda (result failure)
          (when failure
            (ullage--failed failure))
          (when-let ((next (and (equal name "switch")
                                (ullage--get result :data :context :id))))
            (ullage--use folder next))
          (when done
            (funcall done))))))))

(defun ullage--known-lines ()
  "The names of all lines."
  (unless ullage--lines
    (ullage--wait-for :context/list nil))
  ullage--lines)

(defun ullage--continuations (typed)
  "Whole lines that TYPED may become."
  (let ((name (car (split-string typed))))
    (if (not (string-search " " typed))
        (ullage--known-lines)
      (mapcar (lambda (word) (concat name " " word))
              (pcase name
                ((or "restore" "switch" "model")
                 (mapcar #'ullage--annotated (ullage--choices name)))
                (_ (cdr (assoc name ullage--words))))))))

(defun ullage--annotated (choice)
  "What is meant by CHOICE, with what is shown of it where that is more."
  (if (equal (car choice) (cdr choice))
      (cdr choice)
    (propertize (cdr choice) 'ullage-shown (car choice))))

(defun ullage--annotation (line)
  "What is shown behind LINE in a list of completions."
  (when-let ((shown (get-text-property (1- (length line)) 'ullage-shown line)))
    (concat "  " shown)))

(defun ullage--read-line ()
  "A line, completed as it is typed."
  (minibuffer-with-setup-hook
      (lambda ()
        (use-local-map (make-composed-keymap ullage--line-map (current-local-map))))
    (let ((completion-extra-properties
           '(:annotation-function ullage--annotation)))
      (completing-read "Ullage: "
                       (completion-table-dynamic #'ullage--continuations t)))))

;;;###autoload
(defun ullage-command (line)
  "Do what LINE asks for, such as \"size 8k\"."
  (interactive (list (ullage--read-line)))
  (let ((name (or (car (split-string line)) "status")))
    (unless (member name (ullage--known-lines))
      (user-error "There is no line `%s'; `help' lists them" name))
    (ullage--run name (string-trim (string-remove-prefix name (string-trim line))))))

(defun ullage--snapshot-choice (snapshot)
  "SNAPSHOT as a choice."
  (cons (format "%s  %s tokens, %s: %s (%s)"
                (format-time-string "%F %R" (/ (plist-get snapshot :createdAt) 1000))
                (plist-get snapshot :tokens)
                (plist-get snapshot :trigger)
                (plist-get snapshot :summary)
                (substring (plist-get snapshot :id) -6))
        (plist-get snapshot :id)))

(defun ullage--context-choice (context)
  "CONTEXT as a choice."
  (cons (format "%s in %s, %s tokens"
                (plist-get context :name)
                (abbreviate-file-name
                 (ullage--file (plist-get context :workspaceUri)))
                (ullage--get context :usage :tokens))
        (plist-get context :id)))

(defun ullage--choices (name)
  "What the line NAME may be given, as pairs of what is shown and what is meant."
  (pcase name
    ("restore"
     (let ((page (ullage--wait-for :context/snapshot/list
                                   (list :contextId (ullage--id)))))
       (reverse (sort (mapcar #'ullage--snapshot-choice (plist-get page :snapshots))
                      (lambda (one other) (string< (cdr one) (cdr other)))))))
    ("switch"
     (mapcar #'ullage--context-choice
             (plist-get (ullage--wait-for :context/list nil) :contexts)))
    ("model"
     (mapcar (lambda (model)
               (cons (plist-get model :name) (plist-get model :name)))
             (plist-get (ullage--wait-for :context/models nil) :models)))))

(defun ullage--ensure-id ()
  "Wait until the present buffer's context is open."
  (let ((folder (ullage--folder-here)))
    (unless (ullage--id)
      (let ((context (ullage--wait-for :context/open
                                       (list :workspaceUri (ullage--uri folder)))))
        (unless (ullage--id)            ; switched meanwhile
          (ullage--use folder (plist-get context :id)))))))

(defun ullage--chosen (name prompt none)
  "The person's choice for the line NAME, asked by PROMPT.
Where there is nothing to choose from, NONE says so."
  (let* ((choices (or (progn (ullage--ensure-id)
                             (ullage--choices name))
                      (user-error "%s" none)))
         (table (lambda (typed predicate action)
                  (if (eq action 'metadata)
                      '(metadata (display-sort-function . identity)
                                 (cycle-sort-function . identity))
                    (complete-with-action action choices typed predicate)))))
    (cdr (assoc (completing-read prompt table nil t) choices))))

;;;###autoload
(defun ullage-restore (snapshot)
  "Bring SNAPSHOT back, by its id."
  (interactive
   (list (ullage--chosen "restore" "Bring back: "
                         "No snapshot was kept of this conversation yet; M-x ullage-snapshot keeps one")))
  (ullage--run "restore" snapshot))

;;;###autoload
(defun ullage-switch (context)
  "Go on in CONTEXT, by its id or name."
  (interactive
   (list (ullage--chosen "switch" "Go on in: "
                         "There is no other conversation; M-x ullage-new begins one")))
  (ullage--run "switch" context))

;;;###autoload
(defun ullage-model (model)
  "Talk with MODEL from now on."
  (interactive
   (list (ullage--chosen "model" "Talk with: "
                         "No model server answers; `ullage doctor' in a terminal says what there is")))
  (ullage--run "model" model))

;;;###autoload
(defun ullage-new (name)
  "Begin, or go on in, the present project's conversation NAME."
  (interactive "sName of the conversation: ")
  (let ((folder (ullage--folder-here)))
    (ullage--request
     :context/open (list :workspaceUri (ullage--uri folder) :name name)
     (lambda (context failure)
       (if failure
           (ullage--failed failure)
         (ullage--use folder (plist-get context :id)))))))

;;;###autoload
(defun ullage-status ()
  "Show how full the window is, and what answers."
  (interactive)
  (ullage--run "status"))

;;;###autoload
(defun ullage-compress (&optional strategy)
  "Make room in the window now; with a prefix argument choose the STRATEGY."
  (interactive
   (list (when current-prefix-arg
           (completing-read "Strategy: " (cdr (assoc "compress" ullage--words))
                            nil t))))
  (ullage--run "compress" strategy))

;;;###autoload
(defun ullage-undo ()
  "Take back the latest change of the window."
  (interactive)
  (ullage--run "undo"))

;;;###autoload
(defun ullage-clear ()
  "Empty the window; all stays in the history, for `ullage-undo'."
  (interactive)
  (ullage--run "clear"))

;;;###autoload
(defun ullage-snapshot (words)
  "Keep the window as it is, under WORDS."
  (interactive "sKeep it under these words (may be empty): ")
  (ullage--run "snapshot" words))

;;;###autoload
(defun ullage-size (size)
  "Give the model another SIZE, such as \"8k\"; with none, see why it is as it is."
  (interactive
   (list (completing-read "Tokens (empty: show): "
                          (cdr (assoc "size" ullage--words)))))
  (ullage--run "size" size))

(provide 'ullage-lines)
;;; ullage-lines.el ends here
